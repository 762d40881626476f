"""A worker module in, its ranks run as one Slurm job: found again, submitted, followed, judged. Slurm is the truth.

The job goes on by itself; this only watches, and may die at any moment. Started again, it looks for a living job of its
stage's fingerprint before it submits one. Whoever holds the stage's scratch folder is the only one who does (`infra.scratch`).
"""

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from components.errors import InputError, ParameterError, WorkerFailed
from components.formats.files import write_text
from components.formats.usage import Usage
from infra.sites.slurm import Allocation, SlurmSite
from infra.slurm.commands import Slurm, SlurmRefused, SlurmUnreachable
from infra.slurm.ending import is_done
from infra.slurm.follow import Follower
from infra.slurm.jobs import Job
from infra.slurm.place import Asked, Place, request_of
from infra.slurm.records import (
    Call,
    Submission,
    copy_papers,
    failing_nodes,
    read_attempts,
    read_call,
    read_submissions,
    with_ends,
    write_attempts,
    write_call,
    write_submissions,
)
from infra.slurm.script import sbatch_text
from infra.slurm.usage import read_usage
from infra.slurm.watch import say


class SlurmJobs:
    """Satisfies `components.base.ports.Launcher`, for one stage."""

    def __init__(self, place: Place, allocation: Allocation, site: SlurmSite, slurm: Slurm) -> None:
        self.place = place
        self.allocation = allocation
        self.site = site
        self.slurm = slurm
        self._asked_to_end = threading.Event()

    def run(
        self, module: str, arguments: Sequence[str], *, processes: int, environment: Mapping[str, str],
        outcome: Path | None = None,
    ) -> None:
        """Runs the ranks in a job, and in further ones where the first reaches its time limit.

        Raises `WorkerFailed` with the failing rank's words, or where it was cancelled; `SlurmRefused` where Slurm does not
        take it; `ParameterError` where the site cannot run it.
        """
        self._check(processes)
        self.place.folder.mkdir(parents=True, exist_ok=True)
        call = Call(
            module=module, arguments=tuple(arguments), outcome=outcome, allocation=self.allocation, site=self.site,
            attempts_before=0,
        )
        follower = Follower(self.place, self.site, self.slurm, self._asked_to_end)
        with self._listening():
            self._wait_for_sbatch()
            job = self._living()
            if job is not None:
                call = self._found(job)
            else:
                call = self._begin(call)
                job = self._submit(environment)
            while not is_done(self.place.folder, follower.follow(job), call):
                job = self._submit(environment)

    def usage(self, metrics: Path) -> Usage | None:
        """What the jobs took, once the work is done; None where none was needed. `metrics` are those of a training."""
        return read_usage(self.place.scratch, metrics, self.allocation, self.site)

    def copy_papers(self, target: Path) -> None:
        """Copies the script and the records of the jobs into a folder, beside the output that they made."""
        copy_papers(self.place.folder, target)

    def _check(self, processes: int) -> None:
        """Raises `ParameterError` where the site contradicts itself or the disk is no shared one."""
        if processes != self.allocation.tasks:
            raise ParameterError(
                f"{self.place.stage} asks for {processes} processes, but its allocation has {self.allocation.nodes} nodes × "
                f"{self.allocation.tasks_per_node} tasks. Make them agree in the site's file."
            )
        shared = self.site.shared_folder
        if shared is not None and not self.place.scratch.resolve().is_relative_to(Path(shared).resolve()):
            raise ParameterError(
                f"{self.place.scratch} is not below {shared}, the folder that every node of this site sees. "
                "Set MARTLET_HOME to a folder below it."
            )

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Notes the signals that ask this process to end; no rank is told."""

        def note(_number: int, _frame: FrameType | None) -> None:
            self._asked_to_end.set()

        main = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, note) for number in ((signal.SIGTERM, signal.SIGINT) if main else ())}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def _submitting(self) -> Iterator[int]:
        """A lock that sbatch holds with us, and on its own where it outlives us: its job may be on the way still."""
        with (self.place.folder / "submitting.lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream.fileno()

    def _wait_for_sbatch(self) -> None:
        """Waits until no sbatch of an earlier process of this stage is under way: else its job would be one too many."""
        with self._submitting():
            return

    def _living(self) -> Job | None:
        """The job of this fingerprint that Slurm has; asks until Slurm answers, since not to know is not to have none."""
        while True:
            try:
                found = self.slurm.named(self.place.name)
                for late in found[1:]:  # an sbatch whose answer was lost; it waits for the first to end
                    say(f"job {late.number} is one too many: ending it")
                    self.slurm.cancel(late.number)
                return found[0] if found else None
            except SlurmUnreachable as error:
                self._wait_for_slurm(error)

    def _wait_for_slurm(self, error: SlurmUnreachable) -> None:
        """Says that Slurm does not answer, and lets a while pass."""
        say(f"Slurm does not answer; asking again every {self.site.poll_seconds:g} s: {error}")
        if self._asked_to_end.wait(max(self.site.poll_seconds, 1.0)):
            raise WorkerFailed("asked to end while Slurm did not answer. Run the same command again.")

    def _found(self, job: Job) -> Call:
        """What a living job runs: what an earlier process of this stage asked for."""
        say(f"job {job.number} computes this already ({job.state.lower()}): following it")
        if not (self.place.folder / "call.json").exists():
            raise InputError(
                f"job {job.number} has the name {self.place.name}, but its folder {self.place.folder} is gone. "
                f"End it with `scancel {job.number}`, and run the same command again."
            )
        return read_call(self.place.folder)

    def _begin(self, call: Call) -> Call:
        """Forgets how earlier starts ended, and writes what the job will run."""
        folder = self.place.folder
        attempts = with_ends(folder, read_attempts(folder))
        write_attempts(folder, attempts)
        call = call.model_copy(update={"attempts_before": len(attempts)})
        write_call(folder, call)
        if call.outcome is not None:
            call.outcome.unlink(missing_ok=True)
        return call

    def _submit(self, environment: Mapping[str, str]) -> Job:
        """Hands the script in, once: where Slurm's answer is lost, the job's name tells whether it arrived."""
        folder, name = self.place.folder, self.place.name
        before = read_submissions(folder)
        asked = Submission(asked=time.time(), job=None)
        write_submissions(folder, [*before, asked])
        exclude = failing_nodes(read_attempts(folder), time.time())
        try:
            number = self._handed_in(self._script(environment, exclude))
        except SlurmRefused as error:
            if not exclude:
                raise
            say(f"job {name} would keep away from {', '.join(exclude)}, where it was lost more than once, but: {error}")
            number = self._handed_in(self._script(environment, []))
        write_submissions(folder, [*before, asked.model_copy(update={"job": number})])
        say(f"submitted job {number}; its script and its logs are in {folder}")
        return Job.just_submitted(number, name)

    def _script(self, environment: Mapping[str, str], exclude: Sequence[str]) -> Path:
        """Writes the batch script."""
        script = self.place.folder / "job.sbatch"
        request = request_of(self.place, Asked(self.allocation, self.site, environment, exclude), os.environ)
        write_text(script, sbatch_text(request))
        return script

    def _handed_in(self, script: Path) -> int:
        """The number that Slurm gave the job."""
        while True:
            try:
                with self._submitting() as lock:
                    return self.slurm.submit(script, self.place.stage, lock)
            except SlurmUnreachable as error:
                self._wait_for_slurm(error)
                if (job := self._living()) is not None:
                    return job.number
