"""Follows a job until it ends: shows its state, keeps it away from bad nodes, gives it up or cancels it if asked to."""

import threading
import time
from datetime import UTC, datetime

from components.errors import ServiceError, WorkerFailed
from infra.scheduler.errors import SchedulerUnreachable
from infra.scheduler.jobs import Job
from infra.scheduler.ports import Scheduler
from infra.scheduler.records import failing_nodes, read_attempts
from infra.scheduler.stage_job import StageJob
from infra.scheduler.watch import Watcher, say

CANCEL_SECONDS = 6.0
"""What a cancelled job is given to save its state; then it is killed."""
LOG_SECONDS = 0.3


class Follower:
    """Follows the jobs of one stage, one after another."""

    def __init__(self, stage_job: StageJob, scheduler: Scheduler, asked_to_end: threading.Event) -> None:
        """`asked_to_end` is set by a signal to this process."""
        self.stage_job = stage_job
        self.scheduler = scheduler
        self.site = scheduler.site
        self.watcher = Watcher(stage_job, scheduler)
        self._asked_to_end = asked_to_end
        self._kept_away: set[tuple[int, int, bool]] = set()
        self._needed: list[str] = []

    def follow(self, job: Job) -> Job:
        """Shows the job's state and what it prints until it is over; returns what the scheduler knows of its end."""
        due = 0.0
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + self.site.poll_seconds
                try:
                    found = self.scheduler.job(job.number)
                except SchedulerUnreachable as error:
                    self.watcher.silent(error)
                else:
                    self.watcher.answered()
                    if found is None or not found.living:
                        ended = found or job.forgotten(self.site.scheduler)
                        self.watcher.ended(ended)
                        return ended
                    self.watcher.show(found)
                    self._keep_away(found)
                    self._lose_patience(found)
            self.watcher.copy_log()
            if self._asked_to_end.wait(min(LOG_SECONDS, self.site.poll_seconds)):
                self._leave(job)

    def _keep_away(self, job: Job) -> None:
        """Keeps a requeued job from the nodes that it was lost on more than once, unless it cannot run without them."""
        nodes = failing_nodes(read_attempts(self.stage_job.folder), time.time()) if job.waiting else []
        step = (job.number, job.restarts, job.lacks_nodes)
        if not nodes or nodes == self._needed or step in self._kept_away:
            return
        can = "cannot keep" if job.lacks_nodes else "keeps"
        words = f"job {job.number} {can} away from {', '.join(nodes)}, where it was lost more than once"
        try:
            self.scheduler.exclude(job.number, [] if job.lacks_nodes else nodes)
            self._needed = nodes if job.lacks_nodes else []
            say(words)
        except SchedulerUnreachable:
            return
        except ServiceError as error:  # it began to run at just this moment
            say(f"{words}: {error}")
        self._kept_away.add(step)

    def _lose_patience(self, job: Job) -> None:
        """Ends a job that waits longer than the site allows, and raises `WorkerFailed` then."""
        longest = self.site.longest_wait_minutes
        if longest is None or job.submitted is None or not job.waiting:
            return
        minutes = (datetime.now(UTC) - job.submitted).total_seconds() / 60
        if minutes < longest:
            return
        try:
            self._cancel(job)
        except SchedulerUnreachable:
            return  # asked again at the next poll
        raise WorkerFailed(
            f"job {job.number} waited {minutes:,.0f} minutes ({job.reason}) and was ended, as "
            f"{self.site.key}.longest_wait_minutes {longest:,g} of the site demands. What it saved is kept: run the same "
            "command again to wait anew."
        )

    def _leave(self, job: Job) -> None:
        """Ends the job if a person asked for that; otherwise lets it run on by itself. Raises `WorkerFailed` either way."""
        if not self.stage_job.cancelled.exists():
            raise WorkerFailed(
                f"the flow ended; job {job.number} goes on by itself. Run the same command again to follow it, "
                f"or end it with `{self.scheduler.cancel_command(job.number)}`."
            )
        say(f"cancelling job {job.number}")
        try:
            self._cancel(job)
        except SchedulerUnreachable as error:
            raise WorkerFailed(
                f"job {job.number} may live on, because {self.site.scheduler} does not answer: {error} "
                f"End it with `{self.scheduler.cancel_command(job.number)}`."
            ) from None
        raise WorkerFailed(
            f"job {job.number} was cancelled, as asked. What it saved is kept: run the same command again to continue."
        )

    def _cancel(self, job: Job) -> None:
        """Ends the job: asks its ranks first, and kills them if they take too long."""
        self.scheduler.cancel(job.number)
        until = time.monotonic() + CANCEL_SECONDS
        while (found := self.scheduler.job(job.number)) is not None and found.living:
            if time.monotonic() > until:
                self.scheduler.cancel(job.number, kill=True)
                until = float("inf")
            time.sleep(LOG_SECONDS)
