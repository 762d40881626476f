"""A disk that takes nothing more is named with its path, its mount and the reason, whichever of Martlet's places it is."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from components.base.plain_yaml import read_yaml_file, write_yaml
from components.errors import WorkerFailed
from components.formats.digests import digest_path
from infra import git
from infra.local import LocalProcesses
from tests.support.small_disks import FULL, NO_INODES, READ_ONLY, quota_shim, run_with

pytestmark = pytest.mark.quick

TELLER = [sys.executable, "-m", "tests.support.small_disks"]
PLACES = ["work", "home", "home/cache", "home/checkpoints", "home/downloads", "home/runs", "tmp"]


def told(tmp_path: Path, disks: dict[Path, str], **variables: str) -> str:
    for name in ("work", "tmp"):
        (tmp_path / name).mkdir(exist_ok=True)
    done = run_with(disks, TELLER, tmp_path / "work", MARTLET_HOME=str(tmp_path / "home"), TMPDIR=str(tmp_path / "tmp"),
                    **variables)  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("place", PLACES)
def test_every_place_that_martlet_writes_to_may_be_the_full_one(tmp_path: Path, place: str) -> None:
    words, path = told(tmp_path, {tmp_path / place: FULL}), tmp_path / place
    assert words.startswith(f"the disk is full: no space left at {path}, on the mount {path}. Free some")
    assert f"or set {'TMPDIR' if place == 'tmp' else 'MARTLET_HOME'} to a folder" in words
    assert words.endswith("and start again. What failed first: the work failed.\n")


@pytest.mark.parametrize(("options", "reason"), [
    (NO_INODES, "the disk is full: it holds as many files as it can (no inode is left, though bytes are) at "),
    (READ_ONLY, "the disk is read-only: nothing can be written at "),
])
def test_the_reason_is_the_right_one(tmp_path: Path, options: str, reason: str) -> None:
    assert told(tmp_path, {tmp_path / "home/checkpoints": options}).startswith(f"{reason}{tmp_path}/home/checkpoints, on the")


def test_a_quota_that_is_used_up_is_no_full_disk(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    words = told(tmp_path, {}, LD_PRELOAD=str(quota_shim(tmp_path)), QUOTA_USED_UP_BELOW=str(tmp_path / "home"))
    assert words.startswith(f"the disk quota is used up: nothing more can be written at {tmp_path}/home, on the mount ")
    assert "have the quota raised" in words


def test_disks_with_room_are_not_blamed(tmp_path: Path) -> None:
    assert told(tmp_path, {tmp_path / "home": "size=8m"}) == "the work failed.\n"


COUNT = """
import sys
from pathlib import Path
from tests.unit.ranks.test_ranks import Count
from components.errors import ResourceError
from components.ranks.run import run_ranks
from infra.local import LocalProcesses
from tests.support.fakes import make_context
folder = Path(sys.argv[1])
class Filling(Count):
    worker = "tests.support.ranks.filling_worker"
try:
    context = make_context(folder, launcher=LocalProcesses(folder / "logs", 1))
    run_ranks(Filling(fingerprint="a", scratch=folder, ranks=2), context, 2)
except ResourceError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("kind", ["full", "quota"])
def test_a_ranks_refusal_reaches_its_starter_without_a_disk(tmp_path: Path, kind: str) -> None:
    """Request, refusal and logs all lie on the disk that takes nothing more."""
    small = tmp_path / "scratch"
    variables = {"RANK_FILLS": str(small)}
    if kind == "quota":
        variables |= {"RANK_PRELOADS": str(quota_shim(tmp_path)), "QUOTA_USED_UP_BELOW": str(small)}
    done = run_with({small: "size=1m"}, [sys.executable, "-c", COUNT, str(small)], tmp_path, **variables)
    reason = "the disk is full: no space left" if kind == "full" else "the disk quota is used up: nothing more can be written"
    assert f"refused: {reason} at {small}/weights, on the mount {small}. " in done.stdout, done.stdout
    assert "Traceback" not in done.stdout


def test_what_a_rank_said_is_quoted_although_its_log_is_lost(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for rank in range(2):
        (tmp_path / f"logs/rank-{rank}.log").symlink_to("/dev/full")
    with pytest.raises(WorkerFailed, match=r"rank 1 of 2 ended with exit code 3.*\n.*no such page"):
        LocalProcesses(tmp_path / "logs", threads=1).run(
            "tests.support.ranks.rank_worker", ["last_fails", str(tmp_path)], processes=2, environment={}
        )


PIPELINE = """
stages:
  make:
    cmd: head -c 3000000 /dev/urandom > out
    outs: [out]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A workspace of one stage whose cache is a folder of its own."""
    work = tmp_path / "work"
    (work / ".dvc").mkdir(parents=True)
    git.git("init", "--quiet", cwd=work)
    (work / ".dvc/config").write_text(f"[core]\n    analytics = false\n    site_cache_dir = {tmp_path}/site\n"
                                      f"[cache]\n    dir = {tmp_path}/home/cache\n    type = copy\n")
    (work / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    return work


def reproduce(repository: Path, disks: dict[Path, str]) -> dict[str, str]:
    """What the stage's process says through its pipe."""
    home = repository.parent / "home"
    done = run_with(
        disks, ["sh", "-c", f'"{sys.executable}" -m flows.stage make 3 3>"$0" >/dev/null', str(repository.parent / "said")],
        repository, MARTLET_HOME=str(home), PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    assert "Traceback" not in done.stdout, done.stdout
    result: dict[str, str] = json.loads((repository.parent / "said").read_text())
    return result


@pytest.mark.parametrize(("options", "reason"), [
    ("size=2m", "the disk is full: no space left at "), (READ_ONLY, "the disk is read-only: nothing can be written at "),
])
def test_a_cache_that_takes_nothing_more_is_named_and_the_same_command_goes_on_later(
    repository: Path, options: str, reason: str
) -> None:
    cache = repository.parent / "home/cache"
    first = reproduce(repository, {cache: options})
    assert first["outcome"] == "failed"
    assert first["error"].startswith(f"{reason}{cache}"), first
    assert f"on the mount {cache}. " in first["error"]
    assert reproduce(repository, {})["outcome"] == "ran"


def test_a_workspace_without_room_is_named(repository: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    copy = 'cp -r "$1" "$2/work" && cd "$2/work" && exec "$3" -m flows.stage make 3 3>"$4" >/dev/null'
    words = ["sh", "-c", copy, "sh", str(repository), str(small), sys.executable, str(tmp_path / "said")]
    run_with({small: "size=2m"}, words, tmp_path, MARTLET_HOME=str(tmp_path / "home"))
    result = json.loads((tmp_path / "said").read_text())
    assert result["outcome"] == "failed"
    assert result["error"].startswith(f"the disk is full: no space left at {small}/work"), result


def test_the_doors_own_words_come_through(tmp_path: Path) -> None:
    """A stage that fails on a full disk of the workspace: one message, without a traceback, on standard error."""
    work = tmp_path / "work"
    work.mkdir()
    for name in ("params.yaml", "requirements.lock"):
        shutil.copy(Path(__file__).parents[3] / name, work / name)
    (tmp_path / "text").mkdir()
    (tmp_path / "text/a.txt").write_bytes(os.urandom(3_000_000))
    source = {"kind": "local", "name": "a", "path": str(tmp_path / "text"), "sha256": digest_path(tmp_path / "text"),
              "licence": "CC0-1.0"}
    values = read_yaml_file(work / "params.yaml")
    values["collect"] = {"kind": "warc", "version": 1, "sources": [source | {"language": "ja"}], "model": source}
    (work / "params.yaml").write_text(write_yaml(values), encoding="utf-8")
    stage = [sys.executable, "-m", "components", "collect", "output=artifacts/collect", "record=artifacts/records/collect"]
    done = run_with({work / "artifacts": "size=1500k"}, stage, work, MARTLET_HOME=str(tmp_path / "home"))
    assert done.returncode == 1
    assert "error: the disk is full: no space left at " in done.stdout
    assert f"on the mount {work}/artifacts. " in done.stdout, done.stdout
    assert "Traceback" not in done.stdout
    done = run_with({}, stage, work, MARTLET_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stdout
