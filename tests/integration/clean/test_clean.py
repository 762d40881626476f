"""Any number of ranks cleans to the same bytes: killed, stopped, continued by another number; and refuses what one would."""

import base64
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.clean.engine.filter_unit import filter_unit
from components.clean.engine.merge import merge
from components.clean.engine.pages import read_pages
from components.clean.engine.progress import FilterProgress
from components.clean.engine.request import FilterRequest
from components.clean.engine.units import units_of
from components.clean.engine.verdicts import Borders, read_head, write_verdicts
from components.clean.swallow import SwallowCleaner
from components.data.documents import read_documents
from components.errors import EmptyCorpus, InputError, WorkerFailed
from components.formats.digests import digest_folder, digest_value
from components.formats.manifest import read_manifest, warc_path
from components.ranks.main import Rank
from components.ranks.outcome import Outcome, read_outcome
from components.ranks.place import RankPlace
from components.ranks.signals import Signals, Stopped
from infra.local import LocalProcesses
from tests.support.fakes import NoLauncher, RanksHere
from tests.support.ranks import cleaning

pytestmark = pytest.mark.quick

WRITTEN_BY_ONE_PROCESS = "87616ac7f82c9e43e2fd2139456ad8ec20c51eb199d2cf8386c6848e452ef0d1"
"""What the stage wrote when it was one process that read page after page, its text files unpacked; but for four rules that
have other names in counts.json now (docs/decisions/0009)."""
UNITS = 13
STOPPING_SECONDS = 5.0


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cleaning.collect(tmp_path_factory.mktemp("collected"))


@pytest.fixture(scope="module")
def cleaned(collected: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of what one rank writes."""
    _, output, _ = cleaning.clean(collected, tmp_path_factory.mktemp("one"), RanksHere())
    return digest_folder(output)


def contents(output: Path) -> str:
    """One digest of all files, unpacked: packages of zlib differ."""
    def unpacked(path: Path) -> bytes:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()

    files = sorted(path for path in output.rglob("*") if path.is_file())
    return digest_value({str(path.relative_to(output)): hashlib.sha256(unpacked(path)).hexdigest() for path in files})


def ranks_of(folder: Path) -> LocalProcesses:
    return LocalProcesses(folder / "logs", threads=1)


def start(collected: Path, folder: Path, ranks: int, workers: int) -> "subprocess.Popen[str]":
    """A stage's process with ranks of its own."""
    words = [sys.executable, "-m", "tests.support.ranks.cleaning", str(collected), str(folder), str(ranks), str(workers)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def filtered(folder: Path) -> list[Path]:
    """The files of the units that are filtered."""
    return sorted(folder.glob("scratch/filtered/[0-9]*.jsonl"))


def wait_for(folder: Path, units: int) -> None:
    """Waits until so many units are filtered."""
    until = time.monotonic() + 60
    while len(filtered(folder)) < units:
        assert time.monotonic() < until, "no unit is filtered"
        time.sleep(0.001)


def workers_of(stage: int) -> list[int]:
    """The ranks that a stage's process started."""
    children = Path(f"/proc/{stage}/task/{stage}/children").read_text().split()
    return [int(pid) for pid in children if b"components.rank" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_three_ranks_write_what_one_rank_and_what_one_process_wrote(
    collected: Path, cleaned: dict[str, str], tmp_path: Path
) -> None:
    assert len(units_of(read_manifest(collected))) == UNITS
    report, output, _ = cleaning.clean(collected, tmp_path, ranks_of(tmp_path), ranks=3, workers=2)
    assert digest_folder(output) == cleaned
    assert contents(output) == WRITTEN_BY_ONE_PROCESS
    again, _, _ = cleaning.clean(collected, tmp_path, NoLauncher())
    assert again == report


def test_after_a_killed_rank_another_number_of_ranks_goes_on_and_filters_nothing_twice(
    collected: Path, cleaned: dict[str, str], tmp_path: Path
) -> None:
    chance, first, marked = random.Random(), tmp_path / "first", tmp_path / "marked"
    stage = start(collected, first, 3, 1)
    try:
        wait_for(first, chance.randint(1, 4))
        os.kill(chance.choice(workers_of(stage.pid)), signal.SIGKILL)
        output, _ = stage.communicate(timeout=60)
    finally:
        stage.kill()
    assert "was killed by SIGKILL" in output
    made = filtered(first)
    assert 0 < len(made) < UNITS

    shutil.copytree(first / "scratch", marked / "scratch")
    _, same, journal = cleaning.clean(collected, first, RanksHere(), workers=2)
    assert digest_folder(same) == cleaned
    assert f"resuming, {len(made)} parts of the pages are filtered" in journal.lines

    words = {mark(marked / path.relative_to(first)) for path in made}
    _, other, _ = cleaning.clean(collected, marked, ranks_of(marked), ranks=2)
    assert {d.text for p in other.rglob("*.jsonl.gz") for d in read_documents(p) if d.text.startswith("unit ")} == words


def mark(rows: Path) -> str:
    """Puts a document into a filtered unit's files that filtering it would not find there; returns its text."""
    head, *lines = rows.read_text(encoding="utf-8").splitlines()
    word, texts = f"unit {rows.stem}", rows.with_suffix(".texts")
    hashes = hashlib.shake_256(word.encode())
    digests = [base64.b64encode(hashes.digest(length)).decode() for length in (32, 40 * 8)]
    added = [f"https://example.org/{rows.stem}", "en", texts.stat().st_size, len(word), len(word), *digests]
    with texts.open("a") as stream:
        stream.write(word)
    rows.write_text("\n".join([head, *lines, json.dumps(added)]) + "\n", encoding="utf-8")
    return word


def test_a_signal_ends_all_ranks_within_seconds_and_the_same_call_goes_on(
    collected: Path, cleaned: dict[str, str], tmp_path: Path
) -> None:
    stage = start(collected, tmp_path, 2, 2)
    try:
        wait_for(tmp_path, 1)
        began = time.monotonic()
        stage.send_signal(signal.SIGUSR2)
        output, _ = stage.communicate(timeout=60)
    finally:
        stage.kill()
    assert time.monotonic() - began < STOPPING_SECONDS
    assert "stopped by SIGUSR2; what is done is kept" in output
    assert read_outcome(tmp_path / "scratch/outcome.json") == Outcome(finished=False, signal="SIGUSR2")
    _, same, _ = cleaning.clean(collected, tmp_path, RanksHere())
    assert digest_folder(same) == cleaned
    assert read_outcome(tmp_path / "scratch/outcome.json") == Outcome(finished=True, signal=None)


class Impatient(FilterProgress):
    """Is told to stop after some documents."""

    patience = 0

    def write(self, text: str) -> None:
        self.patience -= text.startswith("writing")
        if self.patience < 0:
            raise Stopped
        super().write(text)


def test_stopped_while_it_writes_it_goes_on_with_the_next_file(
    collected: Path, cleaned: dict[str, str], tmp_path: Path
) -> None:
    request, cleaner, progress = filtered_request(collected, tmp_path)
    manifest = read_manifest(collected)
    progress.patience = 40
    with pytest.raises(Stopped):
        merge(request, cleaner, manifest, progress)
    written = {path: path.stat().st_mtime_ns for path in request.merging.rglob("[!.]*.gz")}
    assert written
    _, same, _ = cleaning.clean(collected, tmp_path, RanksHere())
    assert digest_folder(same) == cleaned
    kept = {path: (request.result / path.relative_to(request.merging)).stat().st_mtime_ns for path in written}
    assert kept == written


def filtered_request(collected: Path, folder: Path) -> tuple[FilterRequest, SwallowCleaner, Impatient]:
    """A cleaning whose units are all filtered."""
    with pytest.raises(WorkerFailed):
        cleaning.clean(collected, folder, NoLauncher())
    request = FilterRequest.read(folder / "scratch/request.json")
    request.filtered.mkdir()
    cleaner = SwallowCleaner.model_validate(request.cleaner)
    for unit in units_of(read_manifest(collected)):
        filter_unit(request, cleaner, unit, lambda: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)}
    progress = Impatient(request, Rank(RankPlace(0, 1, 0, 1), Signals()))
    for number, handler in handlers.items():
        signal.signal(number, handler)
    progress.see()
    return request, cleaner, progress


def test_a_unit_that_began_in_the_wrong_place_is_filtered_again(
    collected: Path, cleaned: dict[str, str], tmp_path: Path
) -> None:
    """Units 3 and 4 lie within a page that is a WARC file, and are empty; 7 has pages of its own."""
    request, _, _ = filtered_request(collected, tmp_path)
    assert [read_head(request, unit).pages for unit in (3, 4, 7)] == [0, 0, 10]
    request.rows(3).write_bytes(request.rows(0).read_bytes())
    request.texts(3).write_bytes(request.texts(0).read_bytes())
    write_verdicts(request, 7, [], Borders())
    _, same, _ = cleaning.clean(collected, tmp_path, RanksHere())
    assert digest_folder(same) == cleaned


def test_a_damaged_file_is_refused_in_the_words_of_whoever_reads_all_of_it(collected: Path, tmp_path: Path) -> None:
    shutil.copytree(collected, tmp_path / "in")
    target = warc_path(tmp_path / "in", "web")
    content = bytearray(target.read_bytes())
    content[1_700_000:1_700_016] = bytes(16)
    target.write_bytes(content)
    with pytest.raises(InputError) as expected:
        list(read_pages(target, 0, "ja", 0))
    with pytest.raises(InputError) as caught:
        cleaning.clean(tmp_path / "in", tmp_path, RanksHere(), workers=2)
    assert str(caught.value) == str(expected.value)

    target.write_bytes(warc_path(collected, "web").read_bytes()[:1_700_000])
    with pytest.raises(InputError, match=r"web\.warc\.gz holds \d+ pages, but the manifest says 49.*writes both anew"):
        cleaning.clean(tmp_path / "in", tmp_path, RanksHere(), minimum_characters=99)


def test_an_empty_corpus_is_refused_by_its_name_without_a_traceback(collected: Path, tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpus, match=r"nothing is left of the 94 pages of .*: languages rejected 93"):
        cleaning.clean(collected, tmp_path, ranks_of(tmp_path), ranks=2, languages=["de"])
    assert not any("Traceback" in path.read_text() for path in (tmp_path / "logs").iterdir())


def test_a_full_disk_is_said_in_a_line_and_what_was_filtered_is_kept(
    collected: Path, cleaned: dict[str, str], tmp_path: Path
) -> None:
    """On a real full file system: a small one, mounted where only this process sees it; what it held is copied away."""
    (tmp_path / "scratch").mkdir()
    script = 'mount -t tmpfs -o size=96k none "$1/scratch" && shift && "$@"; cp -r "$0/scratch" "$0/kept"'
    enter = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    stage = [sys.executable, "-m", "tests.support.ranks.cleaning", str(collected), str(tmp_path), "1", "2"]
    words = [*enter, "sh", "-c", script, str(tmp_path), str(tmp_path), *stage]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=60)
    assert f"the disk is full: no space left at {tmp_path}/scratch" in done.stdout
    assert f"on the mount {tmp_path}/scratch. Free some" in done.stdout
    assert "Traceback" not in (tmp_path / "logs/rank-0.log").read_text()
    (tmp_path / "scratch").rmdir()
    (tmp_path / "kept").rename(tmp_path / "scratch")
    assert filtered(tmp_path)
    _, same, _ = cleaning.clean(collected, tmp_path, RanksHere())
    assert digest_folder(same) == cleaned
