"""A run is started from a commit, even where the tree was edited and nothing committed."""

import os
from pathlib import Path

import pytest

from components.errors import ServiceError
from infra import git
from infra.private import keep_private


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    root.mkdir()
    git.git("init", "--quiet", cwd=root)
    (root / "kept.txt").write_text("one\n", encoding="utf-8")
    git.commit_all(root, "first")
    return root


def test_a_clean_tree_is_its_own_snapshot(clone: Path) -> None:
    assert git.snapshot(clone) == git.resolve(clone, "HEAD")


def test_an_edited_tree_is_snapshotted_with_new_files_and_leaves_index_and_branch_alone(clone: Path) -> None:
    head = git.resolve(clone, "HEAD")
    (clone / "kept.txt").write_text("two\n", encoding="utf-8")
    (clone / "new.txt").write_text("new\n", encoding="utf-8")
    taken = git.snapshot(clone)
    assert git.read_file(clone, taken, "kept.txt") == b"two\n"
    assert git.read_file(clone, taken, "new.txt") == b"new\n"
    assert git.resolve(clone, "HEAD") == head
    assert sorted(git.git("status", "--porcelain", cwd=clone).splitlines()) == ["?? new.txt", "M kept.txt"]


def test_the_same_edits_give_the_same_snapshot(clone: Path) -> None:
    (clone / "kept.txt").write_text("two\n", encoding="utf-8")
    assert git.snapshot(clone) == git.snapshot(clone)


def test_an_unknown_reference_is_named(clone: Path) -> None:
    with pytest.raises(ServiceError, match="'no-such-branch'"):
        git.resolve(clone, "no-such-branch")


def test_a_folder_outside_of_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="not inside a git clone"):
        git.root_of(tmp_path)


@pytest.mark.parametrize(("before", "readable"), [(0o022, True), (0o077, False)])
def test_what_is_added_to_a_clone_is_read_by_whom_could_read_it_before(tmp_path: Path, before: int, readable: bool) -> None:
    """Though a run writes for its owner alone: a colleague's `git clone` of this folder would fail at a closed object."""
    os.umask(before)
    root = tmp_path / "clone"
    root.mkdir()
    git.git("init", "--quiet", cwd=root)
    keep_private(tmp_path / "home")
    (root / "kept.txt").write_text("one\n", encoding="utf-8")
    git.commit_all(root, "first")
    git.tag(root, "run/one", "sealed")
    git.add_worktree(root, tmp_path / "home" / "run", "HEAD")
    places = [root / ".git" / name for name in ("objects", "refs")]
    modes = [path.stat().st_mode for place in places for path in [place, *place.rglob("*")]]
    assert len(modes) > 8
    assert {bool(mode & 0o044) for mode in modes} == {readable}
    assert [path for path in (tmp_path / "home").rglob("*") if path.stat().st_mode & 0o077] == []
