"""Runs a worker module's ranks on this machine: all end well, or all are ended and the first failure is reported.

The ranks meet through a file of their own, not a port, so that two launches never race for a port. They die with this
process, even at `kill -9`, and have a network of their own (`infra/own_network.py`). A signal to this process is passed on to
the ranks, and how they end decides. Linux only.
"""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from components.base.usage import Usage
from components.errors import WorkerFailed
from infra.own_network import own_network
from infra.processes import dying_with_parent

GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL for the ranks that outlive a failed one."""
TAIL_LINES = 30
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class LocalRank:
    """One process, its pidfd, its log, and the last lines that it printed: a full disk loses those of the log."""

    number: int
    process: "subprocess.Popen[bytes]"
    handle: int
    log: Path
    said: deque[bytes] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def send(self, number: int) -> None:
        """Sends a signal, unless the process has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, number)

    def ending(self) -> str:
        """How the process ended, in words."""
        code = self.process.returncode
        if code >= 0:
            return f"ended with exit code {code}"
        hint = " (out of memory, perhaps: see `dmesg`)" if -code == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-code).name}{hint}"

    def tail(self) -> str:
        """The last lines that the rank printed."""
        return b"".join(list(self.said)).decode(errors="replace").rstrip()


class LocalProcesses:
    """Satisfies `components.base.ports.Launcher`."""

    def __init__(self, logs: Path, threads: int) -> None:
        """`logs` gets one file per rank, appended to; `threads` is each rank's share of the cores."""
        self.logs = logs
        self.threads = threads

    def run(
        self, module: str, arguments: Sequence[str], *, processes: int, environment: Mapping[str, str],
        outcome: Path | None = None,
    ) -> None:
        """Runs `python -m module *arguments` in `processes` ranks; what rank 0 prints is printed here too.

        Stopped ranks are not started again here: `outcome` is only cleared, so that it describes this start. Raises
        `WorkerFailed` with the rank that failed first, how it ended, and the last lines of its log.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        if outcome is not None:
            outcome.unlink(missing_ok=True)
        command = [sys.executable, "-m", module, *arguments]
        ranks: list[LocalRank] = []
        readers: list[threading.Thread] = []
        with tempfile.TemporaryDirectory(prefix="martlet-") as folder, own_network() as join, forwarding(ranks) as missed:
            try:
                for number in range(processes):
                    variables = self._variables(number, processes, Path(folder) / "rendezvous")
                    ranks.append(start(command, number, self.logs, {**os.environ, **variables, **environment}, join))
                    readers.append(threading.Thread(target=pass_through, args=[ranks[-1]], daemon=True))
                    readers[-1].start()
                for signal_number in missed:
                    for rank in ranks:
                        rank.send(signal_number)
                failed = first_failure(ranks)
            finally:
                end(ranks)
            for reader in readers:
                reader.join(GRACE_SECONDS)  # a grandchild may hold the pipe open forever
        if failed:
            raise WorkerFailed(
                f"{module}: rank {failed.number} of {processes} {failed.ending()}. "
                f"Its log {failed.log} ends with:\n{failed.tail() or '(nothing was printed)'}"
            )

    def usage(self, metrics: Path) -> Usage | None:  # noqa: ARG002
        """None: this machine is not paid for by the hour."""
        return None

    def copy_job_record(self, target: Path) -> None:
        """Copies nothing: the ranks were not a job."""

    def _variables(self, rank: int, processes: int, rendezvous: Path) -> dict[str, str]:
        """What a rank needs to know; the rendezvous is a URL for `torch.distributed.init_process_group`."""
        return {
            "RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(processes),
            "MARTLET_RENDEZVOUS": rendezvous.as_uri(),
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": str(self.threads),
            "PYTHONUNBUFFERED": "1",
        }


def start(
    command: list[str], number: int, logs: Path, environment: dict[str, str], join: Callable[[], None]
) -> LocalRank:
    """Starts one rank in its own process group: Ctrl-C reaches only this process, which passes on the signals for ranks.

    `join` moves it to the network of the others.
    """
    log = logs / f"rank-{number}.log"
    log.touch()
    die_too = dying_with_parent(signal.SIGKILL)

    def prepare() -> None:
        join()
        die_too()  # later, for the kernel forgets it where credentials change

    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=prepare,  # noqa: PLW1509  (it takes no lock)
    )
    return LocalRank(number, process, os.pidfd_open(process.pid), log)


@contextmanager
def forwarding(ranks: list[LocalRank]) -> Iterator[list[int]]:
    """Passes signals on to the ranks while the block runs; Ctrl-C becomes SIGTERM, which asks for a checkpoint.

    Yields the signals that came so far: a rank that was just being started may have missed them.
    """
    came: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        came.append(signal.SIGTERM if number == signal.SIGINT else number)
        for rank in ranks:
            rank.send(came[-1])

    # Python lets only the main thread handle signals; in another thread, the main thread's code has to pass them on
    forwarded = FORWARDED if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, forward) for number in forwarded}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pass_through(rank: LocalRank) -> None:
    """Copies what the rank prints to its log, line by line, until it ends; what rank 0 prints, to standard output as well.

    A log that cannot be written ends nothing: the rank would end with its pipe, and nobody would learn why.
    """
    output: IO[bytes] | None = rank.process.stdout
    assert output is not None
    with rank.log.open("ab", buffering=0) as log, output:
        for line in output:
            rank.said.append(line)
            with suppress(OSError):
                log.write(line)
            if rank.number == 0:
                sys.stdout.write(line.decode(errors="replace"))
                sys.stdout.flush()


def ended(ranks: list[LocalRank], seconds: float | None) -> Iterator[LocalRank]:
    """The ranks in the order in which they end; stops early when the time is over."""
    until = time.monotonic() + seconds if seconds is not None else None
    with selectors.DefaultSelector() as selector:
        for rank in ranks:
            selector.register(rank.handle, selectors.EVENT_READ, rank)
        while selector.get_map():
            found = selector.select(None if until is None else max(until - time.monotonic(), 0))
            if not found:
                return
            # if two ended at once, the one that was killed took the other with it
            together: list[LocalRank] = [key.data for key, _ in found]
            for rank in together:
                selector.unregister(rank.handle)
                rank.process.wait()
            yield from sorted(together, key=lambda rank: (rank.process.returncode >= 0, rank.number))


def first_failure(ranks: list[LocalRank]) -> LocalRank | None:
    """Waits until one rank ends badly and returns it; None if all end well."""
    return next((rank for rank in ended(ranks, None) if rank.process.returncode != 0), None)


def end(ranks: list[LocalRank]) -> None:
    """Ends the ranks that still run: SIGTERM, then SIGKILL after a grace period."""
    for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, None)):
        for rank in ranks:
            rank.send(number)
        for _ in ended(ranks, seconds):
            pass
    handles = [rank.handle for rank in ranks]
    ranks.clear()  # a late signal must not reach for a closed handle
    for handle in handles:
        os.close(handle)
