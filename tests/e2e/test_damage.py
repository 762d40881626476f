"""Damaged files of a whole line: mended from the remote, or made again with the same bytes; never read, restored or sealed."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.params import STAGES
from infra import git
from tests.e2e.conftest import Clone, outcomes
from tests.support.builders.damage import damage
from tests.support.builders.elsewhere import another, digests

KEPT = ("clean/train/ja/*.jsonl.gz", "pack/*.bin", "train/model*.safetensors", "expand/tokenizer.model")
"""One file of each of what the line makes: clean text, shards, weights, tokenizer."""


@dataclass
class Line:
    """A clone whose results all came from a remote, one file of each kind among them, and the seals that it has."""

    clone: Clone
    remote: Path
    workspace: Path
    files: list[Path]
    tags: list[str]

    def damage(self, *kinds: str) -> None:
        """Damages the files, one by one."""
        for path, kind in zip(self.files, kinds, strict=True):
            damage(path, kind)

    def name(self, index: int) -> str:
        """A file as messages name it."""
        return str(self.files[index].relative_to(self.workspace))


@pytest.fixture(scope="module")
def line(tiny: Clone, tmp_path_factory: pytest.TempPathFactory) -> Line:
    folder = tmp_path_factory.mktemp("damage")
    remote = folder / "remote"
    assert tiny.run("run", "tiny", MARTLET_REMOTE=str(remote)).returncode == 0
    clone = another(tiny, folder / "other")
    done = clone.run("run", "tiny", MARTLET_REMOTE=str(remote))
    assert "ran" not in outcomes(done.stdout).values(), done.stdout
    workspace = clone.workspace(done.stdout)
    files = [next(iter(sorted((workspace / "artifacts").glob(pattern)))) for pattern in KEPT]
    assert all(path.stat().st_nlink > 1 for path in files), "the cache is linked: one write damages both"
    return Line(clone, remote, workspace, files, git.tags_at(clone.path, "run/*"))


def test_damage_of_every_kind_of_file_is_named_and_mended(line: Line, undisturbed: Path) -> None:
    line.damage("flip", "cut", "zeros", "removed")
    mended = line.clone.run("run", "tiny")
    assert mended.returncode == 0, mended.stdout
    assert "ran" not in outcomes(mended.stdout).values()
    said = unwrapped(mended.stdout)
    for index in range(3):
        assert f"{line.name(index)}: fetched from the remote" in said
    assert f"{line.name(3)}: lost in the workspace: mended from the other copy" in said
    assert digests(line.workspace) == digests(undisturbed)
    assert git.tags_at(line.clone.path, "run/*") == line.tags


@pytest.mark.long
def test_what_has_no_good_copy_is_never_read_and_made_again_with_the_same_bytes(line: Line, undisturbed: Path) -> None:
    shutil.rmtree(line.remote)
    line.damage("zeros", "flip", "cut", "flip")
    by_hand = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "pack"], cwd=line.workspace, check=False,
        env=line.clone.environment(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"), capture_output=True, text=True,
    )  # fmt: skip
    said = by_hand.stdout + by_hand.stderr
    assert by_hand.returncode != 0
    assert f"{line.name(0)} is not what clean wrote: the SHA-256 differs" in said
    assert "Traceback" not in said

    again = line.clone.run("run", "tiny")
    assert again.returncode == 0, again.stdout
    found = outcomes(again.stdout)
    assert [stage for stage in STAGES if found[stage] == "ran"] == ["clean", "expand", "pack", "train"]
    assert "damaged or lost, with no good copy: made again" in unwrapped(again.stdout)
    assert digests(line.workspace) == digests(undisturbed)
    assert git.tags_at(line.clone.path, "run/*") == line.tags
    assert "nothing to do" in line.clone.run("run", "tiny").stdout


def unwrapped(text: str) -> str:
    """What was said, with the terminal's line ends gone."""
    return " ".join(text.split())
