"""Damaged files of a run, of every kind: mended from a good copy or made again, and never counted as done, restored or kept."""

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.results.damage import Damage
from flows.results.digests import FileDigests
from flows.results.stage_objects import StageObjects
from infra import git
from infra.remote.store import RemoteStore
from tests.support.builders.damage import damage

pytestmark = [pytest.mark.quick, pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")]  # DVC asks pygtrie so

# the four kinds of file that the line makes; one stage writes them, so that a case costs one stage
FILES = ("text.jsonl", "tokens/shard-00000.bin", "model/model.safetensors", "model/tokenizer.model")
MAKE = """import pathlib, random
for number, name in enumerate({files}):
    path = pathlib.Path('out') / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(number).randbytes(700_000))
"""
PIPELINE = """
stages:
  make:
    cmd: python make.py
    params: [make]
    outs: [out]
"""
KINDS = ("flip", "cut", "zeros", "removed")


@dataclass
class Line:
    """A DVC repository in which the stage ran once, and the bytes that it wrote."""

    path: Path
    links: str
    good: dict[str, bytes]

    def open(self) -> Repo:
        return Repo(str(self.path))

    def store(self) -> RemoteStore:
        """A remote on the same disk."""
        return RemoteStore({"url": str(self.path / "remote"), "verify": "true"})

    def send(self) -> int:
        """Sends the stage's results to the remote."""
        with self.open() as repo:
            return StageObjects(repo, self.store(), FileDigests(self.path)).send("make")

    def object(self, name: str) -> Path:
        """The cache's object of a file of the output."""
        with self.open() as repo:
            _, listed = repo.stage.load_one(name="make").outs[0].get_obj().get(tuple(name.split("/")))
            return Path(repo.cache.local.oid_to_path(listed.value))

    def again(self) -> list[str]:
        """Mends and reproduces the stage, as a flow does; returns what was said."""
        said: list[str] = []
        with self.open() as repo:
            digests = FileDigests(self.path)
            damage = Damage(repo, digests, StageObjects(repo, self.store(), digests))
            with contextlib.chdir(self.path.parent):  # as the flow is, while its child is in the tree
                damage.mend("make", said.append)
            repo.reproduce(["make"], single_item=True)
            assert not damage.is_in("make")
        return said

    def check(self) -> None:
        """The output and the cache hold the bytes of the first run."""
        for name, content in self.good.items():
            assert (self.path / "out" / name).read_bytes() == content
            assert self.object(name).read_bytes() == content


def make_line(folder: Path, links: str, monkeypatch: pytest.MonkeyPatch) -> Line:
    path = folder / "line"
    path.mkdir()
    git.git("init", "--quiet", cwd=path)
    (path / ".dvc").mkdir()
    (path / ".dvc/config").write_text(
        f"[core]\n    analytics = false\n    site_cache_dir = {path / 'site'}\n"
        f"[cache]\n    type = {links}\n"
    )
    (path / "dvc.yaml").write_text(PIPELINE)
    (path / "params.yaml").write_text("make: 1\n")
    (path / "make.py").write_text(MAKE.format(files=FILES))
    monkeypatch.chdir(path)
    with Repo(str(path)) as repo:
        repo.reproduce(["make"])
    return Line(path, links, {name: (path / "out" / name).read_bytes() for name in FILES})


@pytest.fixture(params=["hardlink", "copy"])
def line(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    return make_line(tmp_path, request.param, monkeypatch)


def damage_places(paths: list[Path], kind: str, *, keeps_time: bool) -> None:
    """Damages every one of the files, each inode once."""
    inodes = {path.stat().st_ino: path for path in paths} if kind != "removed" else dict(enumerate(paths))
    for path in inodes.values():
        damage(path, kind, keeps_time=keeps_time)


@pytest.mark.parametrize("keeps_time", [True, False], ids=["time-kept", "new-time"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_damage_is_named_and_mended(line: Line, kind: str, keeps_time: bool) -> None:
    """In the workspace, in the cache, in both: one file of each kind after the other, and all of them at once."""
    places = {name: (line.path / "out" / name, line.object(name)) for name in FILES}
    for name, where in zip(FILES, ([0], [1], [0, 1], [1, 0]), strict=True):
        damage_places([places[name][index] for index in where], kind, keeps_time=keeps_time)
    said = line.again()
    for name in FILES:
        assert any(name in text for text in said), said
    line.check()


def test_a_good_copy_comes_from_the_remote_and_the_stage_is_not_run(line: Line) -> None:
    line.send()
    (line.path / "make.py").write_text("raise SystemExit('there was a good copy')\n")
    for name in FILES:
        for path in {line.path / "out" / name, line.object(name)}:
            path.unlink()  # a folder on the same disk shares what is written through a hard link
    shutil.rmtree(line.path / "out")
    said = line.again()
    assert said == [", ".join(f"out/{name}" for name in sorted(FILES)) + ": fetched from the remote"]
    line.check()


def test_what_is_damaged_in_the_remote_too_is_made_again_and_no_longer_there(line: Line) -> None:
    line.send()
    name = FILES[1]
    object_ = line.object(name)
    copy = line.path / "remote" / object_.relative_to(line.path / ".dvc/cache")
    for path in (line.path / "out" / name, object_, copy):
        damage(path, "cut")
    said = line.again()
    assert said == [f"out/{name}: damaged or lost, with no good copy: made again"]
    line.check()
    assert not copy.exists()
    assert line.send() == 2
    assert copy.read_bytes() == line.good[name]


def test_nothing_damaged_is_restored_in_another_workspace(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run cache of one workspace serves another: there, too, the objects are hashed first."""
    other = tmp_path / "other"
    shutil.copytree(line.path, other, ignore=shutil.ignore_patterns("out", "dvc.lock", "site", "cache"))
    (other / ".dvc/config.local").write_text(f"[cache]\n    dir = {line.path / '.dvc/cache'}\n")
    damaged = line.object(FILES[0])
    if line.links == "hardlink":
        shutil.rmtree(line.path / "out")
    damage(damaged, "zeros")
    monkeypatch.chdir(other)
    said = Line(other, line.links, line.good).again()
    assert said == [f"out/{FILES[0]}: damaged or lost, with no good copy: made again"]
    Line(other, line.links, line.good).check()


def test_a_damaged_list_of_files_is_written_anew_or_the_stage_is_run(line: Line) -> None:
    with line.open() as repo:
        listing = Path(repo.cache.local.oid_to_path(repo.stage.load_one(name="make").outs[0].hash_info.value))
    whole = listing.read_bytes()
    listing.chmod(0o644)
    listing.write_bytes(whole[:40])
    listing.chmod(0o444)
    assert line.again() == ["the list of files of out: damaged in the cache: there again"]
    assert listing.read_bytes() == whole
    listing.unlink()
    damage(line.path / "out" / FILES[0], "flip")
    assert line.again() == ["the list of files of out: lost in the cache: made again"]
    line.check()


def test_an_undamaged_output_is_read_once(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    later = (line.path / "out" / FILES[0]).stat().st_ctime_ns + 10_000_000_000
    monkeypatch.setattr("time.time_ns", lambda: later)
    assert line.again() == []
    monkeypatch.setattr("flows.results.digests.md5_of", lambda path: pytest.fail(f"{path} was read again"))
    assert line.again() == []
