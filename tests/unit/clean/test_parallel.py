"""Work shared out among processes is done, fails in words, stops when asked, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from components.clean.engine.parallel import DROP_SECONDS, Look, do_all
from components.errors import InputError, WorkerFailed


def nothing() -> None:
    """Has nothing to look for."""


def linger(folder: Path, _look: Look) -> None:
    """Leaves its process id and stays."""
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def until(condition: object, seconds: float = 30) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


def leave_one(folder: Path, number: int, look: Look) -> None:
    """Leaves a file for the number."""
    look()
    (folder / str(number)).touch()


def run_into(number: int, look: Look) -> None:
    """Ends the process, or fails, or goes on until it is told to stop."""
    if number == 9:
        os._exit(number)
    if number == 8:
        raise InputError("number 8")
    while True:
        look()
        time.sleep(0.01)


class Enough(Exception):
    """Of the one who looks."""


@pytest.mark.parametrize("workers", [1, 2])
def test_every_piece_is_done(workers: int, tmp_path: Path) -> None:
    do_all(partial(leave_one, tmp_path), range(40), workers, nothing)
    assert {path.name for path in tmp_path.iterdir()} == {str(number) for number in range(40)}


def test_a_killed_worker_is_an_error_in_words() -> None:
    with pytest.raises(WorkerFailed, match=r"one of the 2 processes of clean was killed.*lower `workers`"):
        do_all(run_into, [9], 2, nothing)


def test_an_error_of_one_piece_ends_the_others_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match="number 8"):
        do_all(run_into, [1, 8, 2, 3], 2, nothing)
    assert time.monotonic() - began < DROP_SECONDS


def test_who_looks_can_end_it_and_a_worker_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    def look() -> None:
        if len(list(tmp_path.iterdir())) == 2:
            raise Enough

    began = time.monotonic()
    with pytest.raises(Enough):
        do_all(linger, [tmp_path] * 3, 2, look)
    assert time.monotonic() - began < DROP_SECONDS + 10
    assert until(lambda: not any(alive(int(path.name)) for path in tmp_path.iterdir()))


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from components.clean.engine.parallel import do_all; "
        "from tests.unit.clean.test_parallel import linger, nothing\n"
        "if __name__ == '__main__': do_all(linger, [Path(sys.argv[1])] * 2, 2, nothing)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        assert until(lambda: len(list(tmp_path.iterdir())) == 2)
        pids = [int(path.name) for path in tmp_path.iterdir()]
        started = [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]
        assert len(started) == 2  # Python's forkserver and its resource tracker
        for pid in (*pids, *started):  # Slurm sends to every process of a job what only the first is to hear
            for number in (signal.SIGUSR2, signal.SIGTERM):
                os.kill(pid, number)
        assert not until(lambda: not all(alive(pid) for pid in (*pids, *started)), 0.3)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert until(lambda: not any(alive(pid) for pid in pids))
