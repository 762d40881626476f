"""A living job in, its end out: shown, kept away from bad nodes, given up or cancelled where somebody wants that."""

import threading
import time
from datetime import UTC, datetime

from components.errors import ServiceError, WorkerFailed
from infra.sites.slurm import SlurmSite
from infra.slurm.commands import Slurm, SlurmUnreachable
from infra.slurm.jobs import Job
from infra.slurm.place import Place
from infra.slurm.records import failing_nodes, read_attempts
from infra.slurm.watch import Watcher, say

CANCEL_SECONDS = 6.0
"""What a cancelled job is given to save its state; then it is killed."""
LOG_SECONDS = 0.3
TOO_FEW = "BadConstraints"
"""Slurm's reason to let a job wait that is kept from more nodes than there are others."""


class Follower:
    """Follows the jobs of one stage, one after another."""

    def __init__(self, place: Place, site: SlurmSite, slurm: Slurm, asked_to_end: threading.Event) -> None:
        """`asked_to_end` is set by a signal to this process."""
        self.place = place
        self.site = site
        self.slurm = slurm
        self.watcher = Watcher(place, site.poll_seconds)
        self._asked_to_end = asked_to_end
        self._kept_away: set[tuple[int, int, bool]] = set()
        self._needed: list[str] = []

    def follow(self, job: Job) -> Job:
        """Shows what the job says and where it stands until it is over; returns what Slurm knows of its end."""
        due = 0.0
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + self.site.poll_seconds
                try:
                    found = self.slurm.job(job.number)
                except SlurmUnreachable as error:
                    self.watcher.silent(error)
                else:
                    self.watcher.answered()
                    if found is None or not found.living:
                        ended = found or job.forgotten()
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
        nodes = failing_nodes(read_attempts(self.place.folder), time.time()) if job.waiting else []
        is_impossible = job.reason == TOO_FEW
        step = (job.number, job.restarts, is_impossible)
        if not nodes or nodes == self._needed or step in self._kept_away:
            return
        can = "cannot keep" if is_impossible else "keeps"
        words = f"job {job.number} {can} away from {', '.join(nodes)}, where it was lost more than once"
        try:
            self.slurm.exclude(job.number, [] if is_impossible else nodes)
            self._needed = nodes if is_impossible else []
            say(words)
        except SlurmUnreachable:
            return
        except ServiceError as error:  # it began to run in this very moment
            say(f"{words}: {error}")
        self._kept_away.add(step)

    def _lose_patience(self, job: Job) -> None:
        """Ends a job that waits for longer than the site has patience. Raises `WorkerFailed` then."""
        longest = self.site.longest_wait_minutes
        if longest is None or job.submitted is None or not job.waiting:
            return
        minutes = (datetime.now(UTC) - job.submitted).total_seconds() / 60
        if minutes < longest:
            return
        try:
            self._cancel(job)
        except SlurmUnreachable:
            return  # asked again with the next look
        raise WorkerFailed(
            f"job {job.number} waited {minutes:,.0f} minutes ({job.reason}) and was ended, as slurm.longest_wait_minutes "
            f"{longest:,g} of the site wants it. What it saved is kept: run the same command again to wait anew."
        )

    def _leave(self, job: Job) -> None:
        """Ends the job where a person asked for it; else leaves it to itself. Raises `WorkerFailed` either way."""
        if not self.place.cancelled.exists():
            raise WorkerFailed(
                f"the flow ended; job {job.number} goes on by itself. Run the same command again to follow it, "
                f"or end it with `scancel {job.number}`."
            )
        say(f"cancelling job {job.number}")
        try:
            self._cancel(job)
        except SlurmUnreachable as error:
            raise WorkerFailed(
                f"job {job.number} may live on, for Slurm does not answer: {error} End it with `scancel {job.number}`."
            ) from None
        raise WorkerFailed(
            f"job {job.number} was cancelled, as asked. What it saved is kept: run the same command again to continue."
        )

    def _cancel(self, job: Job) -> None:
        """Ends the job: asks its ranks first, and kills them where they take too long."""
        self.slurm.cancel(job.number)
        until = time.monotonic() + CANCEL_SECONDS
        while (found := self.slurm.job(job.number)) is not None and found.living:
            if time.monotonic() > until:
                self.slurm.cancel(job.number, kill=True)
                until = float("inf")
            time.sleep(LOG_SECONDS)
