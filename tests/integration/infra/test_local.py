"""The launcher: every rank knows its place, a failure is told in the failing rank's words, nothing outlives its parent."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.errors import WorkerFailed
from infra import local, own_network
from infra.local import LocalProcesses

pytestmark = pytest.mark.quick

WORKER = "tests.support.ranks.rank_worker"


def wait_until(reached: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def launch(folder: Path, behaviour: str, processes: int = 2) -> None:
    LocalProcesses(folder / "logs", threads=3).run(
        WORKER, [behaviour, str(folder)], processes=processes, environment={"EXTRA": "yes"}
    )


def test_every_rank_is_told_its_place_and_all_meet_at_one_fresh_file(tmp_path: Path) -> None:
    launch(tmp_path, "environment", processes=3)
    found = [(tmp_path / f"{rank}.txt").read_text().splitlines() for rank in range(3)]
    assert [lines[:5] for lines in found] == [[str(rank), "3", str(rank), "3", "3"] for rank in range(3)]
    assert {lines[6] for lines in found} == {"yes"}
    (meeting,) = {lines[5] for lines in found}
    assert meeting.startswith("file:///")
    launch(tmp_path, "environment", processes=1)
    assert (tmp_path / "0.txt").read_text().splitlines()[5] != meeting


def test_ranks_hear_each_other_and_nobody_else_reaches_them(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as threads:
        launched = threads.submit(launch, tmp_path, "talks")
        wait_until(lambda: (tmp_path / "heard").exists() or launched.done())
        try:
            assert (tmp_path / "heard").read_bytes() == b"a gradient"
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int((tmp_path / "port").read_text())))
        finally:
            (tmp_path / "tried").touch()
        launched.result()


AS_NOBODY = """
import ctypes, os
from infra import own_network
os.setgroups([]), os.setgid(65534), os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, as in a process that began as this user
print(own_network.make())
"""


def test_a_user_without_rights_gets_a_network_of_its_own_too() -> None:
    """In a user namespace, in which its files are still its own."""
    made = subprocess.run([sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, check=True)
    assert made.stdout == "user net\n"


def test_where_a_new_network_is_forbidden_ranks_share_that_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbidding = tmp_path / "forbidding.py"
    forbidding.write_text("print(flush=True)\n")
    monkeypatch.setattr(own_network, "__file__", str(forbidding))
    launch(tmp_path, "environment")
    assert (tmp_path / "1.txt").exists()


def test_a_failing_rank_is_named_with_its_last_words_and_the_others_are_ended(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match=r"rank 1 of 2 ended with exit code 3.*\n.*no such page"):
        launch(tmp_path, "last_fails")


def test_a_killed_rank_is_named_with_the_signal(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match=r"rank 2 of 3 was killed by SIGKILL.*rank-2\.log.*\n\(nothing was printed\)"):
        launch(tmp_path, "last_is_killed", processes=3)


def test_a_rank_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.5)
    with pytest.raises(WorkerFailed, match="rank 0 of 2 ended with exit code 4"):
        launch(tmp_path, "deaf")
    assert not alive(int((tmp_path / "deaf").read_text()))


def test_logs_of_earlier_launches_are_kept_but_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed):
        launch(tmp_path, "last_fails")
    with pytest.raises(WorkerFailed, match="nothing was printed"):
        launch(tmp_path, "last_is_killed")
    assert "no such page" in (tmp_path / "logs/rank-1.log").read_text()


def test_rank_0_is_heard_and_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WorkerFailed, match="exit code 3"):
        launch(tmp_path, "last_fails", processes=1)
    assert "the ledger has no such page" in capfd.readouterr().out
    assert "the ledger has no such page" in (tmp_path / "logs/rank-0.log").read_text()


def start_parent(folder: Path) -> "subprocess.Popen[bytes]":
    """A process that launches two ranks, which note the signals they get; returns it when both are ready."""
    code = (
        "import sys; from pathlib import Path; from infra.local import LocalProcesses; folder = sys.argv[1]; "
        "LocalProcesses(Path(folder) / 'logs', threads=1)"
        f".run('{WORKER}', ['notes_term', folder], processes=2, environment=dict())"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(folder)])
    wait_until(lambda: all((folder / f"ready-{rank}").exists() for rank in range(2)))
    return parent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_reaches_every_rank(number: signal.Signals, tmp_path: Path) -> None:
    with start_parent(tmp_path) as parent:
        parent.send_signal(number)
        assert parent.wait(30) == 0  # the ranks left in order
    assert all((tmp_path / f"term-{rank}").exists() for rank in range(2))


def test_no_rank_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    with start_parent(tmp_path) as parent:
        pids = [int((tmp_path / f"ready-{rank}").read_text()) for rank in range(2)]
        assert all(map(alive, pids))
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)))
