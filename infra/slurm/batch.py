"""`python -m infra.slurm.batch FOLDER`: what a job's batch script becomes: starts the ranks, judges their end, goes on.

A job that was only stopped (preempted, or near its time limit) or lost something that may come back (a rank, a node) puts
itself back into the queue, within the budget that `call.json` states; so training goes on though nobody watches. A failure
of its own ends it at once. The launcher reads what is written here; it never needs to be there.
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
from infra.slurm.commands import Slurm, SlurmUnreachable
from infra.slurm.jobs import State
from infra.slurm.records import (
    Attempt,
    Call,
    done_so_far,
    is_finished,
    may_start_again,
    read_attempts,
    read_call,
    with_ends,
    write_attempts,
)
from infra.slurm.script import slurm_pattern
from infra.slurm.surroundings import write_surroundings
from infra.slurm.verdict import End, judge, read_notes

HEARTBEAT_SECONDS = 2.0
"""Less than the seconds between a job's SIGTERM and its SIGKILL (KillWait), in which it must write what it knows."""
FIRST_PORT, PORTS = 20_000, 20_000
REQUEUE_SECONDS = 120
"""How long a job that asked to be requeued waits for Slurm to end it."""
UNFINISHED = 75
"""Exit code of a job that did not finish and was not requeued: sysexits' "try again"."""

T = TypeVar("T")


class Batch:
    """One start of the job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.call: Call = read_call(folder)
        self.slurm = Slurm(None)
        self.job = int(os.environ["SLURM_JOB_ID"])
        self.terminated = False
        self.missing: End | None = None

    def run(self) -> int:
        """Returns the job's exit code."""
        signal.signal(signal.SIGTERM, self._note)
        if is_finished(self.call.outcome):
            print("martlet: finished before it was put back into the queue", flush=True)  # noqa: T201
            return 0
        attempt = self._begin()
        code, said = self._ranks(attempt)
        end = self.missing or self._judge(code, said)
        attempts = self._write_end(attempt, end)
        print(f"martlet: {end.verdict}{f' ({end.words})' if end.words else ''}", flush=True)  # noqa: T201
        if end.verdict == "finished":
            return 0
        if end.verdict != "failed" and not may_start_again(self.call, attempts):
            self._requeue()
        return code or UNFINISHED

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        """Slurm is ending the job: cancelled, over its limit, or at the end of its grace."""
        self.terminated = True

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What Slurm answers, however long its controller is away: the job goes on without it."""
        while True:
            try:
                return ask()
            except SlurmUnreachable as error:
                print(f"martlet: {error}", flush=True)  # noqa: T201
                time.sleep(HEARTBEAT_SECONDS)

    def _begin(self) -> Attempt:
        """Writes that the job runs, and forgets how the last start ended."""
        known = self._patiently(lambda: self.slurm.job(self.job))
        now = time.time()
        attempt = Attempt(
            job=self.job, restart=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            queued=known.submitted.timestamp() if known and known.submitted else now, began=now,
            nodes=tuple(self.slurm.names_of(os.environ["SLURM_JOB_NODELIST"])), tasks=self._tasks(), ended=None, verdict=None,
            node=None, rank=None, words="", done=0,
        )  # fmt: skip
        write_attempts(self.folder, [*with_ends(self.folder, read_attempts(self.folder)), attempt])
        write_surroundings(self.folder, attempt.job, attempt.restart, attempt.nodes)
        if self.call.outcome:
            self.call.outcome.unlink(missing_ok=True)
        for notes in ("begun", "failures"):
            shutil.rmtree(self.folder / notes, ignore_errors=True)
            (self.folder / notes).mkdir()
        (self.folder / "logs").mkdir(exist_ok=True)
        print(f"martlet: job {self.job} on {', '.join(attempt.nodes)}, {attempt.tasks} ranks", flush=True)  # noqa: T201
        return attempt

    def _tasks(self) -> int:
        """How many ranks there are on the nodes that the job was given, which may be fewer than it asked for."""
        return int(os.environ["SLURM_JOB_NUM_NODES"]) * self.call.allocation.tasks_per_node

    def _ranks(self, attempt: Attempt) -> tuple[int, str]:
        """Runs them all to their end; returns srun's exit code and its own words."""
        with (self.folder / "srun.log").open("w+", encoding="utf-8") as words:
            srun = subprocess.Popen(
                srun_command(self.call, attempt, self.folder), env={**os.environ, **self._variables(attempt)},
                stdin=subprocess.DEVNULL, stderr=words,
            )
            patience = time.monotonic() + self.call.site.begin_seconds
            while True:
                (self.folder / "heartbeat").touch()
                try:
                    code = srun.wait(HEARTBEAT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if self.terminated:  # ranks that do not listen will be killed together with this process
                        self._write_end(attempt, End("stopped", words="ended by Slurm"))
                    elif time.monotonic() > patience:
                        patience = float("inf")  # who began has begun: one look is enough
                        if missing := self._absent(attempt):
                            self.missing = missing
                            srun.terminate()  # which ends all ranks at once
            words.seek(0)
            said = words.read()
        sys.stderr.write(said)
        return code, said

    def _absent(self, attempt: Attempt) -> End | None:
        """The end of a start in which a rank never began, for its node or its disk hangs; None where all did."""
        begun = {int(path.name) for path in (self.folder / "begun").iterdir()}
        absent = sorted(set(range(attempt.tasks)) - begun)
        if not absent:
            return None
        words = f"rank {absent[0]} did not begin within {self.call.site.begin_seconds:,} s"
        return End("lost", attempt.nodes[absent[0] // self.call.allocation.tasks_per_node], absent[0], words)

    def _write_end(self, attempt: Attempt, end: End) -> list[Attempt]:
        """Writes how this start ended; returns all attempts."""
        ended = attempt.model_copy(update={"ended": time.time(), "done": done_so_far(self.folder), **asdict(end)})
        attempts = [*read_attempts(self.folder)[:-1], ended]
        write_attempts(self.folder, attempts)
        return attempts

    def _variables(self, attempt: Attempt) -> dict[str, str]:
        """Where the ranks meet: the first node, at a port of this very start."""
        port = FIRST_PORT + (attempt.job * 31 + attempt.restart) % PORTS
        interface = self.call.site.network_interface
        named = {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface} if interface else {}
        address = self._patiently(lambda: self.slurm.address_of(attempt.nodes[0]))
        return {
            "MARTLET_RENDEZVOUS": f"tcp://{address}:{port}",
            "OMP_NUM_THREADS": str(self.call.allocation.cpus_per_task),
            "PYTHONUNBUFFERED": "1",
            **named,
        }

    def _judge(self, code: int, said: str) -> End:
        """What the end means."""
        outcome = self.call.outcome
        finished = is_finished(outcome) if outcome is not None else code == 0
        return judge(code, said, read_notes(self.folder / "failures"), finished=finished, terminated=self.terminated)

    def _requeue(self) -> None:
        """Puts the job back into the queue, which ends this process; unless Slurm is ending it already, for its own reasons."""
        known = self._patiently(lambda: self.slurm.job(self.job))
        if self.terminated or known is None or known.state is State.COMPLETING or not known.living:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            self._patiently(lambda: self.slurm.requeue(self.job))
        except ServiceError as error:  # the launcher submits it again when it sees how this ended
            print(f"martlet: not requeued: {error}", flush=True)  # noqa: T201
            return
        time.sleep(REQUEUE_SECONDS)


def srun_command(call: Call, attempt: Attempt, folder: Path) -> list[str]:
    """One task a rank, each with a log of its own; the first bad end ends all."""
    container = call.site.container
    boxed = (
        [f"--container-image={container.image}", f"--container-mounts={','.join(container.mounts)}"] if container else []
    )
    return [
        "srun", "--kill-on-bad-exit=1", "--open-mode=append", f"--output={slurm_pattern(folder)}/logs/rank-%t.log",
        f"--ntasks={attempt.tasks}", f"--ntasks-per-node={call.allocation.tasks_per_node}",
        f"--cpus-per-task={call.allocation.cpus_per_task}", *boxed,
        sys.executable, "-m", "infra.slurm.rank", str(folder), call.module, *call.arguments,
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(Batch(Path(sys.argv[1])).run())
