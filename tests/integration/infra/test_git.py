"""Git is a library: whatever a user's settings and kind of clone are, a run is opened and sealed, and nothing is changed.

Each case is a whole plan, open, edit and seal of a run's workspace, without its stages.
"""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from components.errors import ParameterError, ServiceError
from flows.clone import find_clone
from flows.request import Request
from flows.workspace import Workspace, open_workspace, plan_workspace, seal, sealed_as
from infra import git

ROOT = Path(__file__).parents[3]
HOOKS = ("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit", "post-checkout", "reference-transaction", "pre-push")
HOSTILE_HOOK = "#!/bin/sh\necho a hook ran >> {log}\nexit 1\n"


def plain_git(*words: str, cwd: Path, **environment: str) -> str:
    """Git as the user runs it."""
    person = {f"GIT_{role}_{fact}": "user@example.org" for role in ("AUTHOR", "COMMITTER") for fact in ("NAME", "EMAIL")}
    variables = {**os.environ, **person, **environment}
    done = subprocess.run(["git", *words], cwd=cwd, env=variables, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass
class Case:
    """A user's clone: `tree` is where the command is called, `home` where state is expected."""

    tree: Path
    home: Path
    settings: list[tuple[str, str]] = field(default_factory=list)


def make_project(folder: Path, *init: str) -> Path:
    """A small clone with what a run needs to be planned."""
    folder.mkdir(parents=True, exist_ok=True)
    plain_git("init", "--quiet", "--initial-branch=main", *init, cwd=folder)
    fill(folder)
    return folder


def fill(folder: Path) -> None:
    for name in ("params.yaml", "dvc.yaml", ".dvcignore", ".gitignore"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / ".dvc").mkdir(exist_ok=True)
    for name in ("config", ".gitignore"):
        (folder / ".dvc" / name).write_bytes((ROOT / ".dvc" / name).read_bytes())
    (folder / "notes.txt").write_bytes(b"one\r\ntwo\n")
    plain_git("add", "--all", cwd=folder)
    plain_git("commit", "--quiet", "--no-verify", "-m", "first", cwd=folder)


def configured(*settings: tuple[str, str]) -> Callable[[Path], Case]:
    def make(base: Path) -> Case:
        tree = make_project(base / "clone")
        for name, value in settings:
            plain_git("config", name, value.format(base=base), cwd=tree)
        return Case(tree, tree / ".martlet", list(settings))

    return make


def hooked(base: Path) -> Case:
    case = configured()(base)
    for name in HOOKS:
        hook = case.tree / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOSTILE_HOOK.format(log=base / "hooks.log"))
        hook.chmod(0o755)
    return case


def filtered(base: Path) -> Case:
    case = configured(("filter.lfs.process", "false"), ("filter.lfs.clean", "false"), ("filter.lfs.smudge", "false"),
                      ("filter.lfs.required", "true"), ("filter.mine.clean", "tr a-z A-Z"))(base)  # fmt: skip
    (case.tree / ".gitattributes").write_text("*.bin filter=lfs\n*.yaml filter=mine\n", encoding="utf-8")
    (case.tree / "weights.bin").write_bytes(b"\0\1")
    return case


def ignoring(base: Path) -> Case:
    (base / "ignore").write_text("*.lock\nparams.yaml\nsummary.md\n", encoding="utf-8")
    return configured(("core.excludesFile", "{base}/ignore"))(base)


def excluded(base: Path) -> Case:
    case = configured()(base)
    (case.tree / ".git/info").mkdir(exist_ok=True)
    (case.tree / ".git/info/exclude").write_text("dvc.lock\nsummary.md\n", encoding="utf-8")
    return case


def linked(base: Path) -> Case:
    main = make_project(base / "clone")
    plain_git("worktree", "add", "--quiet", "-b", "mine", str(base / "mine"), cwd=main)
    (base / "mine/notes.txt").write_text("of the linked tree\n", encoding="utf-8")
    return Case(base / "mine", main / ".martlet")


def bare(base: Path) -> Case:
    first = make_project(base / "first")
    plain_git("clone", "--quiet", "--bare", str(first), str(base / "clone.git"), cwd=base)
    plain_git("worktree", "add", "--quiet", str(base / "tree"), "main", cwd=base / "clone.git")
    return Case(base / "tree", base / "clone.git/.martlet")


def separate(base: Path) -> Case:
    tree = make_project(base / "clone", f"--separate-git-dir={base / 'elsewhere.git'}")
    return Case(tree, tree / ".martlet")


def submodule(base: Path) -> Case:
    inner, outer = make_project(base / "inner"), base / "outer"
    outer.mkdir()
    plain_git("init", "--quiet", cwd=outer)
    plain_git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "martlet", cwd=outer)
    return Case(outer / "martlet", outer / "martlet/.martlet")


def with_submodule(base: Path) -> Case:
    case, other = configured(("submodule.recurse", "true"))(base), make_project(base / "other")
    plain_git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "other", cwd=case.tree)
    plain_git("commit", "--quiet", "-m", "with a submodule", cwd=case.tree)
    return case


def shallow(base: Path) -> Case:
    first = make_project(base / "first")
    (first / "notes.txt").write_text("second\n", encoding="utf-8")
    plain_git("commit", "--quiet", "--all", "-m", "second", cwd=first)
    plain_git("clone", "--quiet", "--depth=1", first.as_uri(), str(base / "clone"), cwd=base)
    return Case(base / "clone", base / "clone/.martlet")


def detached(base: Path) -> Case:
    case = configured()(base)
    plain_git("checkout", "--quiet", "--detach", cwd=case.tree)
    return case


def below(base: Path) -> Case:
    case = configured()(base)
    (case.tree / "docs/deep").mkdir(parents=True)
    return Case(case.tree / "docs/deep", case.home)


def odd_name(base: Path) -> Case:
    tree = make_project(base / "a clone, 日本語 ' \" $x")
    return Case(tree, tree / ".martlet")


CASES: dict[str, Callable[[Path], Case]] = {
    "plain": configured(),
    "hooks that refuse": hooked,
    "core.hooksPath": configured(("core.hooksPath", "{base}/nowhere")),
    "commit.gpgSign": configured(("commit.gpgSign", "true"), ("gpg.program", "/bin/false")),
    "tag.gpgSign": configured(("tag.gpgSign", "true"), ("gpg.program", "/bin/false")),
    "tag.forceSignAnnotated": configured(("tag.forceSignAnnotated", "true"), ("gpg.format", "ssh")),
    "log.showSignature": configured(("log.showSignature", "true")),
    "core.safecrlf": configured(("core.safecrlf", "true"), ("core.autocrlf", "input")),
    "core.autocrlf": configured(("core.autocrlf", "true"), ("core.eol", "crlf")),
    "status.showUntrackedFiles": configured(("status.showUntrackedFiles", "no")),
    "status.branch": configured(("status.branch", "true"), ("status.short", "true"), ("color.ui", "always")),
    "filters": filtered,
    "core.excludesFile": ignoring,
    "info/exclude": excluded,
    "core.attributesFile": configured(("core.attributesFile", "{base}/none"), ("diff.external", "/bin/false")),
    "fsmonitor": configured(("core.fsmonitor", "/bin/false"), ("core.untrackedCache", "true")),
    "commit.template": configured(("commit.template", "{base}/none"), ("commit.cleanup", "strip"), ("commit.verbose", "true")),
    "commit.status, no user": configured(("user.useConfigOnly", "true")),
    "a linked worktree": linked,
    "a worktree of a bare clone": bare,
    "--separate-git-dir": separate,
    "a submodule": submodule,
    "a clone with submodules": with_submodule,
    "a shallow clone": shallow,
    "a detached HEAD": detached,
    "called from below": below,
    "a name with everything in it": odd_name,
}


@pytest.fixture(autouse=True)
def _own_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a user who has set nothing; settings of the machine's own stay away."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "MARTLET_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "gitconfig").write_text("[safe]\n    directory = *\n", encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("MARTLET_HOME", "unset")
    monkeypatch.delenv("MARTLET_HOME")
    git.filters_of.cache_clear()


def state_of(tree: Path) -> dict[str, object]:
    """What a user would miss: branches, HEAD, the index, the working tree and hooks."""
    own = Path(plain_git("rev-parse", "--path-format=absolute", "--git-dir", cwd=tree))
    common = Path(plain_git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=tree))
    hooks = {path.name: path.read_bytes() for path in sorted((common / "hooks").glob("*"))}
    files = {str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*"))
             if path.is_file() and ".martlet" not in path.parts and ".git" not in path.parts}  # fmt: skip
    return {
        "branches": plain_git("for-each-ref", "refs/heads", "refs/stash", cwd=tree), "head": (own / "HEAD").read_bytes(),
        "index": (own / "index").read_bytes(), "hooks": hooks, "files": files, "config": (common / "config").read_bytes(),
    }  # fmt: skip


def run_of(case: Case) -> tuple[Workspace, str]:
    """A run planned, opened, changed as stages do, and sealed; and its tag."""
    settings, root = find_clone(case.tree)
    request = Request.model_validate({"recipe": "params", "reference": git.snapshot(root)})
    workspace = plan_workspace(request, root, settings)
    open_workspace(workspace, request)
    (workspace.path / "dvc.lock").write_text("schema: '2.0'\n", encoding="utf-8")
    (workspace.path / "artifacts").mkdir(exist_ok=True)
    (workspace.path / "artifacts/result.bin").write_bytes(b"\r\n\0")
    return workspace, seal(workspace, "# summary\n# with a line that looks like a comment\n")


def sealed_files(root: Path, tag: str) -> set[str]:
    return set(plain_git("ls-tree", "-r", "--name-only", tag, cwd=root).splitlines())


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_opened_and_sealed_and_nothing_of_the_users_is_touched(name: str, tmp_path: Path) -> None:
    case = CASES[name](tmp_path)
    tree = git.root_of(case.tree)
    before = state_of(tree)
    workspace, tag = run_of(case)
    assert tag == f"run/{workspace.run}"
    assert {"dvc.lock", "summary.md", "params.yaml"} <= sealed_files(tree, tag)
    assert not {file for file in sealed_files(tree, tag) if file.startswith(("artifacts", "journal"))}
    assert workspace.path.is_relative_to(case.home.resolve())
    assert sealed_as(workspace) == tag
    again, same = run_of(case)
    assert (again.run, same) == (workspace.run, tag)
    assert (workspace.path / "notes.txt").read_bytes() == (tree / "notes.txt").read_bytes()
    assert state_of(tree) == before
    assert not (tmp_path / "hooks.log").exists()


LOCAL = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
         "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE")  # fmt: skip


@pytest.mark.parametrize("variables", [*({name: "{other}/.git"} for name in LOCAL), {
    "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "core.bare", "GIT_CONFIG_VALUE_0": "true", "GIT_CONFIG_KEY_1": "tag.gpgSign",
    "GIT_CONFIG_VALUE_1": "true",
}, {"GIT_CONFIG_PARAMETERS": "'core.bare=true'"}, {"GIT_AUTHOR_DATE": "no date", "GIT_COMMITTER_NAME": ""},
    {"GIT_TRACE": "1", "GIT_PAGER": "false", "GIT_EDITOR": "false"}], ids=lambda variables: next(iter(variables)))
def test_no_variable_of_gits_leads_astray(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, case = make_project(tmp_path / "other"), configured()(tmp_path)
    before, untouched = state_of(other), state_of(case.tree)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(other=other))
    workspace, tag = run_of(case)
    for name in variables:
        monkeypatch.delenv(name, raising=False)
    assert workspace.path.is_relative_to(case.tree)
    assert {"dvc.lock", "params.yaml"} <= sealed_files(case.tree, tag)
    assert state_of(other) == before
    assert state_of(case.tree) == untouched


def test_all_variables_that_git_calls_local_are_forgotten() -> None:
    names = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True).stdout.split()
    assert len(names) > 10
    assert not git.without_git(dict.fromkeys(names, "x"))


def test_a_clone_that_was_moved_goes_on_with_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = configured()(tmp_path)
    workspace, tag = run_of(case)
    case.tree.rename(tmp_path / "moved")
    monkeypatch.delenv("MARTLET_HOME")
    moved, same = run_of(Case(tmp_path / "moved", tmp_path / "moved/.martlet"))
    assert (moved.run, same) == (workspace.run, tag)
    assert moved.path.is_relative_to(tmp_path / "moved")


@pytest.mark.parametrize(("make", "words"), [
    (lambda base: base, "is not inside a git clone"),
    (lambda base: Path(plain_git("init", "--quiet", "--bare", cwd=base) or base), "bare repository.*git worktree add"),
    (lambda base: Path(plain_git("init", "--quiet", cwd=base) or base), "has no commit yet.*Commit the project first"),
])  # fmt: skip
def test_what_cannot_be_run_is_one_message(make: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    folder = make(tmp_path / "folder")
    with pytest.raises(ServiceError, match=words):
        git.snapshot(find_clone(folder)[1])


def test_a_run_that_could_not_be_sealed_is_refused_before_its_first_stage(tmp_path: Path) -> None:
    case = configured()(tmp_path)
    (case.tree / ".git/refs/tags/martlet-trial").mkdir(parents=True)
    (case.tree / ".git/refs/tags").chmod(0o500)
    (case.tree / ".git/packed-refs.lock").touch()
    (case.tree / ".git/refs/tags/martlet-trial").rmdir()
    (case.tree / ".git/refs/tags/martlet-trial").write_text("not a folder")
    with pytest.raises(ServiceError, match="git tag failed"):
        run_of(case)
    assert not list((case.tree / ".martlet/runs").glob("*/journal/request.json"))


def test_an_edited_workspace_is_refused_and_not_sealed_under_the_old_name(tmp_path: Path) -> None:
    case = configured()(tmp_path)
    workspace, _ = run_of(case)
    path = workspace.path / "params.yaml"
    path.write_text(path.read_text().replace("steps: 100", "steps: 90"), encoding="utf-8")
    with pytest.raises(ParameterError, match=r"params\.yaml was edited.*checkout params\.yaml.*--set"):
        run_of(case)
    plain_git("checkout", "--quiet", "params.yaml", cwd=workspace.path)
    assert run_of(case)[0].run == workspace.run
