"""Clones as on another machine, and what a run's results are compared by."""

from pathlib import Path

from infra import git
from tests.e2e.conftest import Clone


def digests(workspace: Path) -> dict[str, bytes]:
    """Every result of a run but the records, which say when and how long."""
    files = (path for path in sorted((workspace / "artifacts").rglob("*")) if path.is_file())
    return {str(path.relative_to(workspace)): path.read_bytes() for path in files if "records" not in path.parts}


def another(clone: Clone, folder: Path) -> Clone:
    """A clone of the same commit with a state folder of its own, as on another machine: nothing fetched, no cache."""
    folder.mkdir()
    git.git("clone", "--quiet", str(clone.path), str(folder / "clone"), cwd=folder)
    (folder / "home").mkdir()
    return Clone(folder / "clone", folder / "home")
