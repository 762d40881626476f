"""Which tree a command plans and runs, and where the state of the clone lies."""

from pathlib import Path

from flows.clone import tree_of
from flows.workspace import MARKER
from infra import git


def test_a_worktree_of_the_users_is_the_tree_that_is_run_and_that_of_a_run_is_not(tmp_path: Path) -> None:
    clone, tree = tmp_path / "clone", tmp_path / "tree"
    clone.mkdir()
    git.git("init", "--quiet", cwd=clone)
    (clone / "kept.txt").write_text("one\n", encoding="utf-8")
    git.commit_all(clone, "first")
    git.add_worktree(clone, tree, git.resolve(clone, "HEAD"))
    assert tree_of(tree) == tree
    assert git.state_root_of(tree) == clone
    (tree / MARKER).parent.mkdir()
    (tree / MARKER).touch()
    assert tree_of(tree) == clone
