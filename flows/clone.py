"""The clone that a command is called from: its tree, and where its state lies."""

import os
from pathlib import Path

from flows.workspace import MARKER
from infra import git
from infra.private import keep_private
from infra.settings import Settings


def find_clone(folder: Path) -> tuple[Settings, Path]:
    """The settings and the top of the working tree that is planned and run.

    The state folder is the main tree's, shared by all worktrees of the clone, unless MARTLET_HOME names another. What git's
    variables say of another repository is forgotten, and the state folder is closed to other users. Raises `ServiceError`
    outside of a clone.
    """
    git.forget_variables()
    root = tree_of(folder)
    os.environ.setdefault("MARTLET_HOME", str(git.state_root_of(root) / ".martlet"))
    settings = Settings()
    keep_private(settings.home)
    return settings, root


def enter_clone() -> tuple[Settings, Path]:
    """The same for the current folder, which becomes the top of the tree."""
    settings, root = find_clone(Path.cwd())
    os.chdir(root)
    return settings, root


def tree_of(folder: Path) -> Path:
    """The top of the working tree that `folder` is in; from inside a run's workspace, nobody's own tree, it is the main one."""
    top = git.root_of(folder)
    return (git.main_tree_of(top) or top) if (top / MARKER).exists() else top
