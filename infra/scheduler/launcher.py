"""Launches a worker module's ranks as one job of a cluster, which is found again, submitted, followed and judged.

What the scheduler says of a job is the truth. The job runs by itself; the launcher only watches it, and may die at any moment.
Started again, the launcher looks for a living job of its stage's fingerprint before it submits one. Only the process that holds
the stage's scratch folder (`infra.scratch`) does so.
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

from components.base.usage import Usage
from components.errors import InputError, ParameterError, WorkerFailed
from components.formats.files import write_text
from infra.scheduler.ending import is_done
from infra.scheduler.errors import JobRefused, SchedulerUnreachable
from infra.scheduler.follow import Follower
from infra.scheduler.jobs import Job
from infra.scheduler.ports import Scheduler
from infra.scheduler.records import (
    JobRequest,
    Submission,
    copy_job_record,
    failing_nodes,
    read_attempts,
    read_request,
    read_submissions,
    with_ends,
    write_attempts,
    write_request,
    write_submissions,
)
from infra.scheduler.stage_job import StageJob, job_environment
from infra.scheduler.usage import read_usage
from infra.scheduler.watch import no_answer, say


class BatchLauncher:
    """Satisfies `components.base.ports.Launcher`, for one stage that the scheduler's site lists."""

    def __init__(self, stage_job: StageJob, scheduler: Scheduler) -> None:
        self.stage_job = stage_job
        self.scheduler = scheduler
        self.site = scheduler.site
        self.allocation = scheduler.site.stages[stage_job.stage]
        self._asked_to_end = threading.Event()

    def run(
        self, module: str, arguments: Sequence[str], *, processes: int, environment: Mapping[str, str],
        outcome: Path | None = None,
    ) -> None:
        """Runs the ranks in a job, and in further ones if the first reaches its time limit.

        Raises `WorkerFailed` with the failing rank's words, or if it was cancelled; `JobRefused` if the scheduler does
        not take it; `ParameterError` if the site cannot run it.
        """
        self._check(processes)
        self.stage_job.folder.mkdir(parents=True, exist_ok=True)
        request = self.scheduler.request_type(
            module=module, arguments=tuple(arguments), outcome=outcome, allocation=self.allocation, site=self.site,
            attempts_before=0,
        )
        follower = Follower(self.stage_job, self.scheduler, self._asked_to_end)
        with self._listening():
            self._wait_for_submission()
            job = self._living()
            if job is not None:
                request = self._found(job)
            else:
                request = self._begin(request)
                job = self._submit(environment)
            while not is_done(self.stage_job.folder, follower.follow(job), request):
                job = self._submit(environment)

    def usage(self, metrics: Path) -> Usage | None:
        """What the jobs used, once the work is done; None if no job was needed. `metrics` are those of a training."""
        return read_usage(self.stage_job.scratch, metrics, self.allocation, self.site)

    def copy_job_record(self, target: Path) -> None:
        """Copies the script and the records of the jobs into a folder, next to the output that the jobs made."""
        copy_job_record(self.stage_job.folder, self.scheduler.script_name, target)

    def _check(self, processes: int) -> None:
        """Raises `ParameterError` if the site contradicts itself or the disk is not a shared one."""
        if processes != self.allocation.tasks:
            raise ParameterError(
                f"{self.stage_job.stage} asks for {processes} processes, but its allocation has {self.allocation.nodes} nodes "
                f"× {self.allocation.tasks_per_node} tasks. Make them agree in the site's file."
            )
        shared = self.site.shared_folder
        if shared is not None and not self.stage_job.scratch.resolve().is_relative_to(Path(shared).resolve()):
            raise ParameterError(
                f"{self.stage_job.scratch} is not below {shared}, the folder that every node of this site sees. "
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
        """A lock that the submitting program shares with us, and keeps if it outlives us: its job may still be on the way."""
        with (self.stage_job.folder / "submitting.lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream.fileno()

    def _wait_for_submission(self) -> None:
        """Waits until no submission of an earlier process of this stage is under way: its job would be one too many."""
        with self._submitting():
            return

    def _living(self) -> Job | None:
        """The cluster's living job of this fingerprint; asks until the scheduler answers: silence does not mean no job."""
        while True:
            try:
                found = self.scheduler.named(self.stage_job.name)
                for late in found[1:]:  # a submission whose answer was lost; it waits for the first to end
                    say(f"job {late.number} is one too many: ending it")
                    self.scheduler.cancel(late.number)
                return found[0] if found else None
            except SchedulerUnreachable as error:
                self._wait_for_answer(error)

    def _wait_for_answer(self, error: SchedulerUnreachable) -> None:
        """Says that the scheduler does not answer, and waits a while."""
        say(no_answer(self.scheduler, error))
        if self._asked_to_end.wait(max(self.site.poll_seconds, 1.0)):
            raise WorkerFailed(f"asked to end while {self.site.scheduler} did not answer. Run the same command again.")

    def _found(self, job: Job) -> JobRequest:
        """The request that a living job runs: the one of an earlier process of this stage."""
        say(f"job {job.number} computes this already ({job.state.lower()}): following it")
        if not (self.stage_job.folder / "call.json").exists():
            raise InputError(
                f"job {job.number} has the name {self.stage_job.name}, but its folder {self.stage_job.folder} is gone. "
                f"End it with `{self.scheduler.cancel_command(job.number)}`, and run the same command again."
            )
        return read_request(self.stage_job.folder, self.scheduler.request_type)

    def _begin(self, request: JobRequest) -> JobRequest:
        """Forgets how earlier starts ended, and writes what the job will run."""
        folder = self.stage_job.folder
        attempts = with_ends(folder, read_attempts(folder))
        write_attempts(folder, attempts)
        request = request.model_copy(update={"attempts_before": len(attempts)})
        write_request(folder, request)
        if request.outcome is not None:
            request.outcome.unlink(missing_ok=True)
        return request

    def _submit(self, environment: Mapping[str, str]) -> Job:
        """Submits the script once: if the answer is lost, the job's name tells whether the submission arrived."""
        folder, name = self.stage_job.folder, self.stage_job.name
        before = read_submissions(folder)
        asked = Submission(asked=time.time(), job=None)
        write_submissions(folder, [*before, asked])
        exclude = failing_nodes(read_attempts(folder), time.time())
        try:
            number = self._handed_in(self._script(environment, exclude))
        except JobRefused as error:
            if not exclude:
                raise
            say(f"job {name} would keep away from {', '.join(exclude)}, where it was lost more than once, but: {error}")
            number = self._handed_in(self._script(environment, []))
        write_submissions(folder, [*before, asked.model_copy(update={"job": number})])
        say(f"submitted job {number}; its script and its logs are in {folder}")
        return Job.just_submitted(number, name)

    def _script(self, environment: Mapping[str, str], exclude: Sequence[str]) -> Path:
        """Writes the batch script."""
        script = self.stage_job.folder / self.scheduler.script_name
        write_text(script, self.scheduler.script(self.stage_job, job_environment(environment, os.environ), exclude))
        return script

    def _handed_in(self, script: Path) -> int:
        """Submits the script until the scheduler answers; returns the job's number."""
        while True:
            try:
                with self._submitting() as lock:
                    return self.scheduler.submit(script, self.stage_job.stage, lock)
            except SchedulerUnreachable as error:
                self._wait_for_answer(error)
                if (job := self._living()) is not None:
                    return job.number
