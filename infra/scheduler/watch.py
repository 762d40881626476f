"""Prints lines about a living job for the flow: each new state of the job once, and each line of rank 0 once."""

import json
import sys
import time
from datetime import UTC, datetime

from infra.journal import JOB_MARK
from infra.scheduler.errors import SchedulerUnreachable
from infra.scheduler.jobs import Job, Phase
from infra.scheduler.ports import Scheduler
from infra.scheduler.stage_job import StageJob

SILENCE_SECONDS = 300.0
"""A running job whose heartbeat is older than this is worth a warning."""


class Watcher:
    """What was shown of one job so far."""

    def __init__(self, stage_job: StageJob, scheduler: Scheduler) -> None:
        """What rank 0 has printed so far is not shown again."""
        self.stage, self.folder = stage_job.stage, stage_job.folder
        self.scheduler = scheduler
        self.log = self.folder / "logs" / "rank-0.log"
        self.heartbeat = self.folder / "heartbeat"
        self.read = self.log.stat().st_size if self.log.exists() else 0
        self.shown = ""
        self.is_silent = self.warned = False

    def show(self, job: Job) -> None:
        """Says what changed: why the job waits and until when, where it runs, that it was started again."""
        if (words := self.describe(job)) != self.shown:
            self.shown = words
            say(words)
            self.show_on_page(words)
        if not job.waiting and self.heartbeat.exists() and not self.warned:
            age = time.time() - self.heartbeat.stat().st_mtime
            if age > SILENCE_SECONDS:
                self.warned = True
                say(f"warning: job {job.number} has given no sign of life for {age:,.0f} s; see {self.folder}")

    def ended(self, job: Job) -> None:
        """Shows the last of what rank 0 wrote, and on the job's page how it ended; what that means is judged elsewhere."""
        self.copy_log()
        self.show_on_page(self.describe(job))

    def show_on_page(self, words: str) -> None:
        """Shows the words on the job's page only."""
        said = {"words": words, "folder": str(self.folder), "script": self.scheduler.script_name}
        say(JOB_MARK + json.dumps(said, ensure_ascii=False))

    def copy_log(self) -> None:
        """Prints the complete lines that rank 0 has written since the last call."""
        if not self.log.exists():
            return
        with self.log.open("rb") as stream:
            stream.seek(self.read)
            text = stream.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.read += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            say(line)

    def silent(self, error: SchedulerUnreachable) -> None:
        """Says once that the scheduler does not answer: the job may well go on."""
        if not self.is_silent:
            self.is_silent = True
            say(no_answer(self.scheduler, error))

    def answered(self) -> None:
        """Says once that the scheduler answers again."""
        if self.is_silent:
            self.is_silent = False
            say(f"{self.scheduler.site.scheduler} answers again")

    def describe(self, job: Job) -> str:
        """The job's state in words."""
        again = f", after {job.restarts} {'restart' if job.restarts == 1 else 'restarts'}" if job.restarts else ""
        if job.waiting:
            expected = f", expected to start {clock(job.start)}" if job.start else ""
            advice = f"; it may wait forever. {self.scheduler.remedy(job.reason, self.stage)}" if job.stuck else ""
            return f"job {job.number} waits ({job.reason}{expected}){again}{advice}"
        where = f" on {job.nodes}" if job.nodes else ""
        if job.phase is Phase.UNKNOWN:
            return f"job {job.number} is in a state that is not known ({job.reason}){again}"
        if not job.living:
            return f"job {job.number} ended as {job.state}{where}{again}"
        return f"job {job.number} is {job.state.lower()}{where}{again}"


def no_answer(scheduler: Scheduler, error: SchedulerUnreachable) -> str:
    """The words for a scheduler that does not answer."""
    return f"{scheduler.site.scheduler} does not answer; asking again every {scheduler.site.poll_seconds:g} s: {error}"


def clock(moment: datetime) -> str:
    """A time for people, in this machine's time zone."""
    local = moment.astimezone()
    same_day = local.date() == datetime.now(UTC).astimezone().date()
    return local.strftime("at %H:%M" if same_day else "on %Y-%m-%d at %H:%M")


def say(text: str) -> None:
    """Prints one line at once: standard output is what the flow reads."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
