"""The process that a job's batch script becomes: it starts the ranks, judges their end, and requeues the job.

A job that was only stopped (preempted, or near its time limit) or lost something that may come back (a rank, a node) puts
itself back into the queue, within the budget that `call.json` states; so training continues even if nobody watches. A failure
of its own ends the job at once. The launcher reads what is written here, but does not have to run.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TypeVar

from components.errors import ServiceError
from infra.scheduler.errors import SchedulerUnreachable
from infra.scheduler.in_job.environment import write_environment
from infra.scheduler.in_job.verdict import End, judge, read_notes
from infra.scheduler.jobs import Phase
from infra.scheduler.ports import RunningJob
from infra.scheduler.records import (
    Attempt,
    JobRequest,
    done_so_far,
    is_finished,
    may_start_again,
    read_attempts,
    with_ends,
    write_attempts,
)

HEARTBEAT_SECONDS = 2.0
"""Less than the seconds between a job's SIGTERM and its SIGKILL, in which it must write what it knows."""
FIRST_PORT, PORTS = 20_000, 20_000
REQUEUE_SECONDS = 120
"""How long a job that asked to be requeued waits for the scheduler to end it."""
UNFINISHED = 75
"""Exit code of a job that did not finish and was not requeued: sysexits' "try again"."""

T = TypeVar("T")


class BatchJob:
    """One start of the job."""

    def __init__(self, folder: Path, request: JobRequest, job: RunningJob) -> None:
        """`request` is the one in `folder`, in the type of the job's scheduler."""
        self.folder = folder
        self.request = request
        self.job = job
        self.terminated = False
        self.missing: End | None = None

    def run(self) -> int:
        """Returns the job's exit code."""
        signal.signal(signal.SIGTERM, self._note)
        if is_finished(self.request.outcome):
            print("martlet: finished before it was put back into the queue", flush=True)  # noqa: T201
            return 0
        attempt = self._begin()
        code, said = self._ranks(attempt)
        end = self.missing or self._judge(code, said)
        attempts = self._write_end(attempt, end)
        print(f"martlet: {end.verdict}{f' ({end.words})' if end.words else ''}", flush=True)  # noqa: T201
        if end.verdict == "finished":
            return 0
        if end.verdict != "failed" and not may_start_again(self.request, attempts):
            self._requeue()
        return code or UNFINISHED

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        """The scheduler is ending the job: cancelled, over its limit, or at the end of its grace."""
        self.terminated = True

    def _patiently(self, ask: Callable[[], T]) -> T:
        """The scheduler's answer, however long it is away: the job runs on meanwhile."""
        while True:
            try:
                return ask()
            except SchedulerUnreachable as error:
                print(f"martlet: {error}", flush=True)  # noqa: T201
                time.sleep(HEARTBEAT_SECONDS)

    def _begin(self) -> Attempt:
        """Writes that the job runs, and forgets how the last start ended."""
        known = self._patiently(self.job.known)
        now, nodes = time.time(), self.job.nodes()
        attempt = Attempt(
            job=self.job.number, restart=self.job.restarts,
            queued=known.submitted.timestamp() if known and known.submitted else now, began=now,
            nodes=nodes, tasks=len(nodes) * self.request.allocation.tasks_per_node,  # there may be fewer than were asked for
            ended=None, verdict=None, node=None, rank=None, words="", done=0,
        )  # fmt: skip
        write_attempts(self.folder, [*with_ends(self.folder, read_attempts(self.folder)), attempt])
        write_environment(self.folder, attempt, self.job.variables)
        if self.request.outcome:
            self.request.outcome.unlink(missing_ok=True)
        for notes in ("begun", "failures"):
            shutil.rmtree(self.folder / notes, ignore_errors=True)
            (self.folder / notes).mkdir()
        (self.folder / "logs").mkdir(exist_ok=True)
        print(f"martlet: job {attempt.job} on {', '.join(attempt.nodes)}, {attempt.tasks} ranks", flush=True)  # noqa: T201
        return attempt

    def _ranks(self, attempt: Attempt) -> tuple[int, str]:
        """Runs all ranks to their end; returns the exit code and the words of the program that starts them."""
        with (self.folder / f"{self.job.starter}.log").open("w+", encoding="utf-8") as words:
            starter = subprocess.Popen(
                self.job.ranks_command(self.request, attempt.tasks, self.folder),
                env={**os.environ, **self._variables(attempt)}, stdin=subprocess.DEVNULL, stderr=words,
            )
            patience = time.monotonic() + self.request.site.begin_seconds
            while True:
                (self.folder / "heartbeat").touch()
                try:
                    code = starter.wait(HEARTBEAT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if self.terminated:  # ranks that do not listen will be killed together with this process
                        self._write_end(attempt, End("stopped", words=f"ended by {self.request.site.scheduler}"))
                    elif time.monotonic() > patience:
                        patience = float("inf")  # who began has begun: one look is enough
                        if missing := self._absent(attempt):
                            self.missing = missing
                            starter.terminate()  # which ends all ranks at once
            words.seek(0)
            said = words.read()
        sys.stderr.write(said)
        return code, said

    def _absent(self, attempt: Attempt) -> End | None:
        """The end of a start in which a rank never began because its node or its disk hangs; None if all ranks began."""
        begun = {int(path.name) for path in (self.folder / "begun").iterdir()}
        absent = sorted(set(range(attempt.tasks)) - begun)
        if not absent:
            return None
        words = f"rank {absent[0]} did not begin within {self.request.site.begin_seconds:,} s"
        return End("lost", attempt.nodes[absent[0] // self.request.allocation.tasks_per_node], absent[0], words)

    def _write_end(self, attempt: Attempt, end: End) -> list[Attempt]:
        """Writes how this start ended; returns all attempts."""
        ended = attempt.model_copy(update={"ended": time.time(), "done": done_so_far(self.folder), **asdict(end)})
        attempts = [*read_attempts(self.folder)[:-1], ended]
        write_attempts(self.folder, attempts)
        return attempts

    def _variables(self, attempt: Attempt) -> dict[str, str]:
        """Where the ranks meet: the first node, at a port of its own for each start."""
        port = FIRST_PORT + (attempt.job * 31 + attempt.restart) % PORTS
        interface = self.request.site.network_interface
        named = {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface} if interface else {}
        address = self._patiently(lambda: self.job.address_of(attempt.nodes[0]))
        return {
            "MARTLET_RENDEZVOUS": f"tcp://{address}:{port}",
            "OMP_NUM_THREADS": str(self.request.allocation.cpus_per_task),
            "PYTHONUNBUFFERED": "1",
            **named,
        }

    def _judge(self, code: int, said: str) -> End:
        """What the end of the ranks means."""
        outcome = self.request.outcome
        finished = is_finished(outcome) if outcome is not None else code == 0
        ended_by = self.request.site.scheduler if self.terminated else None
        return judge(self.job.ranks_end(code, said), read_notes(self.folder / "failures"), finished=finished, ended_by=ended_by)

    def _requeue(self) -> None:
        """Puts the job back into the queue, which ends this process; unless the scheduler is ending it already."""
        known = self._patiently(self.job.known)
        if self.terminated or known is None or known.phase is Phase.ENDING or not known.living:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            self._patiently(self.job.requeue)
        except ServiceError as error:  # the launcher submits it again when it sees how this ended
            print(f"martlet: not requeued: {error}", flush=True)  # noqa: T201
            return
        time.sleep(REQUEUE_SECONDS)
