"""Runs git commands: finds the commit that a run starts from, keeps the run's worktree, tags the finished run."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from components.errors import ServiceError

IDENTITY = ("-c", "user.name=martlet", "-c", "user.email=martlet@localhost", "-c", "gc.auto=0", "-c", "commit.gpgsign=false")


def git(*arguments: str, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Runs git and returns its output, stripped. Raises `ServiceError` with git's own words."""
    variables = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **(environment or {})}
    try:
        done = subprocess.run(
            ["git", *IDENTITY, *arguments], cwd=cwd, env=variables, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise ServiceError("git is not installed. Install it: every run is a git worktree of its own.") from None
    if done.returncode:
        raise ServiceError(f"git {arguments[0]} failed in {cwd}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def root_of(folder: Path) -> Path:
    """The top of the main working tree that `folder` belongs to, also from inside one of its worktrees."""
    try:
        common = git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=folder)
    except ServiceError as error:
        raise ServiceError(f"{folder} is not inside a git clone, and a run needs one: {error}") from None
    return Path(common).parent


def resolve(root: Path, reference: str) -> str:
    """The commit that a reference names. Raises `ServiceError` naming the reference."""
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}", cwd=root)
    except ServiceError:
        message = f"there is no commit, branch or tag {reference!r} in {root}. `git log --oneline` shows some."
        raise ServiceError(message) from None


def snapshot(root: Path) -> str:
    """The commit of the tree as it stands: HEAD if nothing was edited, otherwise a commit of the edits on top of HEAD.

    The user's index and branches are left alone; the commit is reachable from the run's tag once the run is sealed. Its
    dates are HEAD's, so that the same edits give the same commit.
    """
    head = resolve(root, "HEAD")
    if not git("status", "--porcelain", cwd=root):
        return head
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("read-tree", head, cwd=root, environment=index)
        git("add", "--all", cwd=root, environment=index)
        tree = git("write-tree", cwd=root, environment=index)
    date = git("show", "-s", "--format=%cI", head, cwd=root)
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    message = "the tree as it stood, with uncommitted edits"
    return git("commit-tree", tree, "-p", head, "-m", message, cwd=root, environment=dates)


def read_file(root: Path, commit: str, path: str) -> str | None:
    """A file's text at a commit; None if the commit has no such file."""
    try:
        return git("show", f"{commit}:{path}", cwd=root)
    except ServiceError:
        return None


def list_files(root: Path, commit: str, folder: str) -> list[str]:
    """The names of the files right below `folder` at a commit."""
    return [Path(p).name for p in git("ls-tree", "--name-only", commit, f"{folder}/", cwd=root).splitlines()]


def add_worktree(root: Path, path: Path, commit: str) -> None:
    """Checks a commit out into a new, detached worktree."""
    git("worktree", "add", "--detach", "--force", str(path), commit, cwd=root)


def remove_worktree(root: Path, path: Path) -> None:
    """Removes a worktree and whatever is left of it."""
    if path.exists():
        git("worktree", "remove", "--force", "--force", str(path), cwd=root)
    git("worktree", "prune", cwd=root)


def commit_all(folder: Path, message: str) -> str:
    """Commits every change below `folder` (none is fine) and returns the commit."""
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--allow-empty", "--no-verify", "-m", message, cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


def tags_at(folder: Path, pattern: str) -> dict[str, str]:
    """Annotated tags that match, with the commit that each one names."""
    lines = git("for-each-ref", f"refs/tags/{pattern}", "--format=%(refname:short) %(*objectname)", cwd=folder).splitlines()
    return dict(line.split(" ", 1) for line in lines if " " in line)


def tag(folder: Path, name: str, message: str) -> None:
    """Adds an annotated tag at HEAD; an existing one is never moved."""
    git("tag", "--annotate", name, "--message", message, cwd=folder)
