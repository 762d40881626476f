"""Decides what follows when a job is over: the work is done, another job continues it, or it failed, and the error says why."""

from pathlib import Path

from components.errors import WorkerFailed
from infra.scheduler.jobs import Job, Phase
from infra.scheduler.records import (
    Attempt,
    JobRequest,
    is_finished,
    last_lines,
    may_start_again,
    read_attempts,
    with_ends,
    write_attempts,
)
from infra.scheduler.watch import say

PASSING = {Phase.TIME_LIMIT, Phase.INTERRUPTED, Phase.UNKNOWN}
"""Ends that say nothing against another start, even if the job never came to say anything itself."""


def is_done(folder: Path, job: Job, request: JobRequest) -> bool:
    """True if the work is finished, False if another job should continue it.

    The ranks' own word counts first, then the batch script's, then the scheduler's. Raises `WorkerFailed` if no other job
    should be started.
    """
    attempts = with_ends(folder, read_attempts(folder))
    write_attempts(folder, attempts)
    last = attempts[-1] if attempts and attempts[-1].job == job.number else None
    if is_finished(request.outcome) or (last is not None and last.verdict == "finished"):
        return True
    if last is not None and last.verdict == "failed":
        raise WorkerFailed(f"job {job.number}: {words_of(folder, last)}")
    if job.phase is Phase.TIME_LIMIT and request.outcome is None:
        raise WorkerFailed(
            f"job {job.number} reached its time limit of {request.allocation.walltime_minutes:,} minutes, and what it does "
            f"cannot go on later. Raise walltime_minutes of this stage in the site's file ({request.site.key}.stages)."
        )
    log = folder / "batch.log"
    if job.phase is Phase.ENDED_FOR_GOOD:
        by_whom = f" ({job.reason})" if job.reason != "None" else ""
        raise WorkerFailed(
            f"job {job.number} ended as {job.state}{by_whom}. What it saved is kept: run the same command again to go on. "
            f"The end of {log}:\n{last_lines(log, 8) or '(nothing was printed)'}"
        )
    if last is None and job.phase not in PASSING:
        raise WorkerFailed(
            f"job {job.number} ended as {job.state}, exit code {job.exit_code[0]}, before its ranks began. "
            f"The end of {log}:\n{last_lines(log) or '(nothing was printed)'}"
        )
    why = last.words if last is not None and last.words else job.reason
    if objection := may_start_again(request, attempts):
        raise WorkerFailed(
            f"job {job.number} ended as {job.state} ({why}) and is not started again: {objection}. What it saved is kept: "
            "run the same command again to go on."
        )
    say(f"job {job.number} ended as {job.state} ({why}): submitting the next, which goes on")
    return False


def words_of(folder: Path, attempt: Attempt) -> str:
    """Which rank failed, on which node, and the end of its log."""
    if attempt.rank is None:
        return attempt.words
    log = folder / "logs" / f"rank-{attempt.rank}.log"
    return (
        f"rank {attempt.rank} of {attempt.tasks} on {attempt.node} failed: {attempt.words}. "
        f"Its log {log} ends with:\n{last_lines(log) or '(nothing was printed)'}"
    )
