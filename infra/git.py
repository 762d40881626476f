"""Runs git commands: finds the commit that a run starts from, keeps the run's worktree, tags the finished run.

Git is used as a library: what a user's environment and settings say of hooks, signing, filters, line ends or another repository
is for the user's own commands, and neither changes nor stops anything here. Only what makes a clone readable at all
(`safe.directory`) is taken from the user's settings.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from components.errors import ServiceError

SETTINGS = {
    "user.name": "martlet", "user.email": "martlet@localhost",
    "gc.auto": "0", "maintenance.auto": "false",
    # nobody's hooks, and no signature that may ask for a key
    "core.hooksPath": os.devnull, "commit.gpgSign": "false", "tag.gpgSign": "false", "tag.forceSignAnnotated": "false",
    # bytes as they are
    "core.autocrlf": "false", "core.safecrlf": "false", "core.eol": "lf", "core.attributesFile": os.devnull,
    # the output that is read here
    "log.showSignature": "false", "status.showUntrackedFiles": "normal", "status.branch": "false", "status.short": "false",
    "color.ui": "false", "core.quotePath": "true", "core.pager": "cat", "tag.sort": "refname",
    "core.fsmonitor": "false", "core.untrackedCache": "false", "submodule.recurse": "false",
    "commit.cleanup": "whitespace", "commit.verbose": "false", "advice.detachedHead": "false",
}  # fmt: skip
KEPT = re.compile(r"GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)|GIT_EXEC_PATH|GIT_CEILING_DIRECTORIES|GIT_DISCOVERY_ACROSS_FILESYSTEM")
"""The variables of git's that say how to find settings and clones; all others are about one command of the user's."""


def without_git(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that would lead git to another repository, index or identity."""
    return {name: value for name, value in variables.items() if not name.startswith("GIT_") or KEPT.fullmatch(name)}


def forget_variables() -> None:
    """Removes them from this process, for libraries that call git themselves; called as soon as a process begins."""
    for name in set(os.environ) - set(without_git(os.environ)):
        del os.environ[name]


def git(*arguments: str, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Runs git and returns its output, stripped. Raises `ServiceError` with git's own words."""
    return output_of(*arguments, cwd=cwd, environment=environment).decode("utf-8", "surrogateescape").strip()


def output_of(*arguments: str, cwd: Path, environment: Mapping[str, str] | None = None) -> bytes:
    """Runs git and returns its very output. Raises `ServiceError` with git's own words."""
    filters = {} if arguments[0] in UNFILTERED else filters_of(cwd)
    shared = {} if arguments[0] in UNFILTERED | {"worktree"} else readers_of(cwd)  # a worktree's files are the state folder's
    settings = [word for name, value in {**SETTINGS, **filters, **shared}.items() for word in ("-c", f"{name}={value}")]
    variables = {**without_git(os.environ), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(environment or {})}
    command = ["git", "--no-optional-locks", *settings, *arguments]
    try:
        done = subprocess.run(command, cwd=cwd, env=variables, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        raise ServiceError("git is not installed. Install it: every run is a git worktree of its own.") from None
    except NotADirectoryError:
        raise ServiceError(f"{cwd} is not a folder, and git was to work there.") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", "replace")
        raise ServiceError(f"git {arguments[0]} failed in {cwd}: {words}")
    return done.stdout


UNFILTERED = {"config", "init", "rev-parse"}
"""Commands that look at no file; what is asked of them must not ask for filters itself."""


@cache
def filters_of(folder: Path) -> dict[str, str]:
    """Settings that switch off every filter that is configured for a clone, such as LFS's: files are taken as they are."""
    try:
        found = git("config", "--name-only", "--get-regexp", r"^filter\..*\.(clean|smudge|process|required)$", cwd=folder)
    except ServiceError:  # there is none
        return {}
    drivers = {name.split(".", 1)[1].rpartition(".")[0] for name in found.splitlines()}
    off = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return {f"filter.{driver}.{key}": value for driver in sorted(drivers) for key, value in off.items()}


@cache
def readers_of(folder: Path) -> dict[str, str]:
    """A setting by which who can read a clone can read what is added to it, though this process writes for its owner alone."""
    try:
        git("config", "core.sharedRepository", cwd=folder)
        return {}  # the user said who may
    except ServiceError:
        pass
    try:
        mode = Path(git("rev-parse", "--path-format=absolute", "--git-path", "objects", cwd=folder)).stat().st_mode
    except (ServiceError, OSError):
        return {}
    return {"core.sharedRepository": f"0{0o600 | mode & 0o044:o}"} if mode & 0o044 else {}


def root_of(folder: Path) -> Path:
    """The top of the working tree that `folder` belongs to. Raises `ServiceError` outside of a clone, or in a bare one."""
    try:
        return Path(git("rev-parse", "--path-format=absolute", "--show-toplevel", cwd=folder))
    except ServiceError as error:
        raise ServiceError(not_a_tree(folder, error)) from None


def not_a_tree(folder: Path, error: ServiceError) -> str:
    """Why nothing can be run in a folder."""
    if "must be run in a work tree" in str(error):
        return f"{folder} is in a bare repository, which has no files to run. Start in a worktree of it (`git worktree add`)."
    return f"{folder} is not inside a git clone, and a run needs one: {error}"


def main_tree_of(folder: Path) -> Path | None:
    """The main working tree of the clone of which `folder` is in any worktree; None if it has none, as a bare one."""
    own, common = (
        Path(git("rev-parse", "--path-format=absolute", option, cwd=folder)) for option in ("--git-dir", "--git-common-dir")
    )
    if own == common:
        return Path(git("rev-parse", "--path-format=absolute", "--show-toplevel", cwd=folder))
    if common.name == ".git":
        return common.parent
    try:
        return (common / git("config", "--file", str(common / "config"), "core.worktree", cwd=folder)).resolve()
    except ServiceError:
        return None


def state_root_of(folder: Path) -> Path:
    """Where the state folder of a clone lies by default, shared by all its worktrees: in the main tree, else in the clone."""
    main = main_tree_of(folder)
    return main or Path(git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=folder))


def resolve(root: Path, reference: str) -> str:
    """The commit that a reference names. Raises `ServiceError` naming the reference."""
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}", cwd=root)
    except ServiceError:
        if reference == "HEAD":
            raise ServiceError(f"{root} has no commit yet, and a run is started from one. Commit the project first.") from None
        message = f"there is no commit, branch or tag {reference!r} in {root}. `git log --oneline` shows some."
        raise ServiceError(message) from None


def snapshot(root: Path) -> str:
    """The commit of the tree as it stands: HEAD if nothing was edited, otherwise a commit of the edits on top of HEAD.

    The user's index and branches are left alone; the commit is reachable from the run's tag once the run is sealed. Its
    dates are HEAD's, so that the same edits give the same commit.
    """
    head = resolve(root, "HEAD")
    if is_clean(root):
        return head
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("read-tree", head, cwd=root, environment=index)
        git("add", "--all", cwd=root, environment=index)
        tree = git("write-tree", cwd=root, environment=index)
    date = git("show", "--no-patch", "--format=%cI", head, cwd=root)
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    message = "the tree as it stood, with uncommitted edits"
    return git("commit-tree", tree, "-p", head, "-m", message, cwd=root, environment=dates)


def read_file(root: Path, commit: str, path: str) -> bytes | None:
    """A file's bytes at a commit; None if the commit has no such file."""
    try:
        return output_of("show", f"{commit}:{path}", cwd=root)
    except ServiceError:
        return None


def list_files(root: Path, commit: str, folder: str) -> list[str]:
    """The names of the files right below `folder` at a commit."""
    return [Path(p).name for p in git("ls-tree", "--name-only", commit, f"{folder}/", cwd=root).splitlines()]


def add_worktree(root: Path, path: Path, commit: str) -> None:
    """Checks a commit out into a new, detached worktree."""
    git("worktree", "add", "--detach", "--force", str(path), commit, cwd=root)


def is_worktree(path: Path) -> bool:
    """Whether a worktree is connected with its clone: it is not, if the clone was moved."""
    try:
        return Path(git("rev-parse", "--path-format=absolute", "--show-toplevel", cwd=path)) == path.resolve()
    except ServiceError:
        return False


def repair_worktree(root: Path, path: Path) -> None:
    """Connects a worktree with its clone again, after the clone was moved together with it."""
    git("worktree", "repair", str(path), cwd=root)


def remove_worktree(root: Path, path: Path) -> None:
    """Removes a worktree and whatever is left of it."""
    if path.exists():
        git("worktree", "remove", "--force", "--force", str(path), cwd=root)
    git("worktree", "prune", cwd=root)


def commit_all(folder: Path, message: str, *always: str) -> str:
    """Commits every change below `folder` (none is fine), the files `always` even if they are ignored; returns the commit."""
    git("add", "--all", cwd=folder)
    if present := [name for name in always if (folder / name).exists()]:
        git("add", "--force", "--", *present, cwd=folder)
    git("commit", "--quiet", "--allow-empty", "--no-verify", "-m", message, cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


def is_clean(folder: Path) -> bool:
    """Whether nothing below `folder` differs from its last commit."""
    return not git("status", "--porcelain", cwd=folder)


def tags_at(folder: Path, pattern: str) -> dict[str, str]:
    """Annotated tags that match, with the commit that each one names."""
    lines = git("for-each-ref", f"refs/tags/{pattern}", "--format=%(refname:short) %(*objectname)", cwd=folder).splitlines()
    return dict(line.split(" ", 1) for line in lines if " " in line)


def tag(folder: Path, name: str, message: str) -> None:
    """Adds an annotated tag at HEAD; an existing one is never moved."""
    git("tag", "--annotate", name, "--message", message, cwd=folder)


def try_tag(folder: Path, name: str) -> None:
    """Adds a tag and removes it again. Raises `ServiceError` if a run could not be sealed in the end."""
    git("tag", "--annotate", "--force", name, "--message", "a trial: it is removed at once", cwd=folder)
    git("tag", "--delete", name, cwd=folder)


def delete_tag(folder: Path, name: str) -> None:
    """Removes a tag."""
    git("tag", "--delete", name, cwd=folder)


def object_of(root: Path, reference: str) -> str:
    """The object that a reference names, of a tag the tag itself; empty if there is no such reference."""
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", reference, cwd=root)
    except ServiceError:
        return ""


def message_of(root: Path, reference: str) -> str:
    """The message of a commit, or of an annotated tag."""
    text = git("cat-file", "-p", reference, cwd=root)
    return text.partition("\n\n")[2]


def first_after(root: Path, base: str, reference: str) -> str:
    """The first commit on the way from `base` to a reference. Raises `ServiceError` if there is none."""
    found = git("rev-list", "--reverse", "--first-parent", f"{base}..{reference}", cwd=root).splitlines()
    if not found:
        raise ServiceError(f"{reference} has no commit after {base[:10]}.")
    return found[0]


def write_bundle(folder: Path, tag: str, path: Path) -> None:
    """Writes a tag, and as much of its history as the clone has, into one file."""
    git("bundle", "create", "--quiet", str(path), f"refs/tags/{tag}", cwd=folder)


def bundled(root: Path, tag: str, path: Path) -> str:
    """The object that a tag names in a bundle. Raises `ServiceError` if the file is no bundle of that tag."""
    heads = git("bundle", "list-heads", str(path), f"refs/tags/{tag}", cwd=root).split()
    if not heads:
        raise ServiceError(f"{path.name} is not the bundle of {tag}.")
    return heads[0]


def read_bundle(root: Path, tag: str, path: Path) -> None:
    """Takes a tag and its history out of a bundle. Raises `ServiceError` for a damaged one, or a tag that is another here."""
    refspec = f"refs/tags/{tag}:refs/tags/{tag}"
    git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", str(path), refspec, cwd=root)


def move_to(folder: Path, reference: str) -> None:
    """Checks a commit out in a worktree, over whatever is there."""
    git("checkout", "--quiet", "--force", "--detach", reference, cwd=folder)
