"""Ranks are told, stop, refuse and end in one way, whichever stage they belong to."""

import errno
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from components.errors import (
    CheckpointRefused,
    EmptyCorpus,
    InputError,
    MartletError,
    ParameterError,
    ResourceError,
    WorkerFailed,
)
from components.ranks.main import Rank, run_rank
from components.ranks.outcome import Outcome, raise_refusal, read_outcome, write_refusal
from components.ranks.progress import MARK, Progress, ProgressPrinter, last_done, read_progress
from components.ranks.request import RankRequest
from components.ranks.run import run_ranks
from components.ranks.signals import STOPPING, Stopped
from tests.support.fakes import NoLauncher, RanksHere, make_context

ROOT = Path(__file__).parents[3]


class Count(RankRequest):
    """Ranks that leave a file each."""

    worker: ClassVar[str] = "tests.unit.ranks.test_ranks"

    ranks: int

    def is_done(self) -> bool:
        return len(list(self.scratch.glob("rank-*"))) == self.ranks

    def reached(self, outcome: Outcome) -> str:
        return f" after {outcome.done} of {self.ranks}"

    def forget(self) -> None:
        for path in self.scratch.glob("rank-*"):
            path.unlink()


def leave_a_file(request: Count, rank: Rank) -> Outcome | None:
    (request.scratch / f"rank-{rank.place.rank}").touch()
    return Outcome(finished=True, signal=None) if request.is_done() else None


work: list[Callable[[Count, Rank], Outcome | None]] = [leave_a_file]


def main(arguments: list[str]) -> int:
    """What `RanksHere` runs."""
    return run_rank(Count, arguments, work[-1])


@pytest.fixture
def does() -> Iterator[Callable[[Callable[[Count, Rank], Outcome | None]], None]]:
    yield work.append
    del work[1:]


@pytest.fixture
def request_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Count]:
    """A written request, in a process that is its only rank."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    request = Count(fingerprint="a", scratch=tmp_path, ranks=1)
    request.write()
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    yield request
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_what_is_done_is_not_started_again_and_another_request_forgets_it(tmp_path: Path) -> None:
    context, done = make_context(tmp_path, launcher=RanksHere()), Count(fingerprint="a", scratch=tmp_path, ranks=2)
    run_ranks(done, context, 2)
    run_ranks(done, make_context(tmp_path, launcher=NoLauncher()), 2)
    with pytest.raises(WorkerFailed, match="not expected to start"):
        run_ranks(done.model_copy(update={"fingerprint": "b"}), make_context(tmp_path, launcher=NoLauncher()), 2)
    assert not done.is_done()


def test_ranks_that_were_stopped_say_by_what_and_how_far_they_came(
    tmp_path: Path, does: Callable[[Callable[[Count, Rank], Outcome | None]], None]
) -> None:
    def stop(_request: Count, _rank: Rank) -> Outcome | None:
        return Outcome(finished=False, signal="SIGUSR2", done=1)

    does(stop)
    request = Count(fingerprint="a", scratch=tmp_path, ranks=3)
    with pytest.raises(WorkerFailed, match=r"stopped by SIGUSR2 after 1 of 3; .*run the same command again to continue"):
        run_ranks(request, make_context(tmp_path, launcher=RanksHere()), 1)


def test_ranks_that_leave_no_word_are_an_error(
    tmp_path: Path, does: Callable[[Callable[[Count, Rank], Outcome | None]], None]
) -> None:
    does(lambda _request, _rank: None)
    request = Count(fingerprint="a", scratch=tmp_path, ranks=3)
    with pytest.raises(WorkerFailed, match=r"ended without an outcome; their logs say why"):
        run_ranks(request, make_context(tmp_path, launcher=RanksHere()), 1)


@pytest.mark.parametrize("error", [InputError, EmptyCorpus, CheckpointRefused, ParameterError])
def test_a_failure_that_is_the_users_is_raised_as_what_it_is_and_printed_by_no_rank(
    error: type[MartletError], tmp_path: Path, capfd: pytest.CaptureFixture[str],
    does: Callable[[Callable[[Count, Rank], Outcome | None]], None],
) -> None:
    def refuse(_request: Count, _rank: Rank) -> Outcome | None:
        raise error("this input cannot be used")

    does(refuse)
    request = Count(fingerprint="a", scratch=tmp_path, ranks=2)
    with pytest.raises(error, match=r"^this input cannot be used$"):
        run_ranks(request, make_context(tmp_path, launcher=RanksHere()), 2)
    assert "this input" not in "".join(capfd.readouterr())


def test_a_refusal_of_an_earlier_start_is_not_raised_again(tmp_path: Path) -> None:
    request = Count(fingerprint="a", scratch=tmp_path, ranks=1)
    write_refusal(request.refusal, InputError("of yesterday"))
    run_ranks(request, make_context(tmp_path, launcher=RanksHere()), 1)
    assert not request.refusal.exists()


def test_a_refusal_of_an_unknown_class_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "refusal.json").write_text('{"error": "SomethingElse", "message": "no"}')
    with pytest.raises(InputError, match=r"^no$"):
        raise_refusal(tmp_path / "refusal.json")


def test_a_rank_that_is_asked_to_leave_ends_well_and_says_so(request_file: Count) -> None:
    def stop(_request: Count, rank: Rank) -> Outcome | None:
        signal.raise_signal(signal.SIGUSR2)
        rank.signals.stop()
        raise AssertionError("it went on")

    assert run_rank(Count, [str(request_file.path)], stop) == 0
    assert read_outcome(request_file.outcome) == Outcome(finished=False, signal="SIGUSR2")
    with pytest.raises(Stopped):
        raise Stopped


def test_a_full_disk_is_told_by_whoever_started_the_ranks(
    tmp_path: Path, does: Callable[[Callable[[Count, Rank], Outcome | None]], None]
) -> None:
    def fill(_request: Count, _rank: Rank) -> Outcome | None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "weights"))

    does(fill)
    request = Count(fingerprint="a", scratch=tmp_path, ranks=1)
    with pytest.raises(ResourceError, match=rf"disk is full: no space left at {tmp_path}/weights, on the mount /.*Free some"):
        run_ranks(request, make_context(tmp_path, launcher=RanksHere()), 1)


def test_a_refusal_that_no_disk_takes_is_a_line_that_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    write_refusal(tmp_path / "file" / "refusal.json", ResourceError("the disk is full"))
    printed = capsys.readouterr().err
    with pytest.raises(ResourceError, match=r"^the disk is full$"):
        raise_refusal(tmp_path / "file" / "refusal.json", printed=f"rank 0 ended with exit code 1. Its log:\n{printed}")


def test_a_fault_of_our_own_keeps_its_traceback(request_file: Count) -> None:
    def break_down(_request: Count, _rank: Rank) -> Outcome | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_rank(Count, [str(request_file.path)], break_down)


def test_a_progress_line_is_read_as_it_was_printed(capsys: pytest.CaptureFixture[str]) -> None:
    printer = ProgressPrinter()
    assert printer.due
    printer.print(3, 9, "三 of nine")
    assert not printer.due
    (line,) = capsys.readouterr().out.splitlines()
    assert read_progress(line) == Progress(3, 9, "三 of nine")
    assert read_progress("a plain line") is None
    assert last_done(f"step\n{line}\n{line[:20]}".encode()) == 3
    assert last_done(b"nothing of the kind") == 0


def test_progress_is_spelled_in_one_file() -> None:
    folders = ("components", "flows", "infra", "benchmarks")
    spelled = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if MARK.strip() in path.read_text()]
    assert [str(path.relative_to(ROOT)) for path in spelled] == ["components/ranks/progress.py"]
