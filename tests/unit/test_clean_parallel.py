"""Work shared out among processes comes back in order, fails in words, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.clean.parallel import map_in_order
from components.errors import WorkerFailed


def linger(folder: Path) -> None:
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


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_batches(workers: int) -> None:
    assert list(map_in_order(str, range(40), workers)) == [str(number) for number in range(40)]


def test_batches_are_read_only_a_little_ahead() -> None:
    read = []
    results = map_in_order(str, (read.append(number) or number for number in range(1000)), 2)
    next(results)
    assert len(read) < 20
    results.close()  # type: ignore[attr-defined]


def test_a_killed_worker_is_an_error_in_words() -> None:
    with pytest.raises(WorkerFailed, match=r"one of the 2 processes of clean was killed.*lower `workers`"):
        list(map_in_order(os._exit, [9], 2))


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from components.clean.parallel import map_in_order; "
        "from tests.unit.test_clean_parallel import linger\n"
        "if __name__ == '__main__': list(map_in_order(linger, [Path(sys.argv[1])] * 2, 2))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        assert until(lambda: len(list(tmp_path.iterdir())) == 2)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert until(lambda: not any(alive(pid) for pid in pids))
