"""A job that is over in, what follows from it out: done, another one, or a failure in words that end the search."""

from pathlib import Path

from components.errors import WorkerFailed
from infra.slurm.jobs import Job, State
from infra.slurm.records import (
    Attempt,
    Call,
    is_finished,
    last_lines,
    may_start_again,
    read_attempts,
    with_ends,
    write_attempts,
)
from infra.slurm.watch import say

FINAL = {State.CANCELLED, State.DEADLINE, State.OUT_OF_MEMORY}
"""Ends after which nothing is started again: somebody wanted them, or the next would end alike."""
PASSING = {State.TIMEOUT, State.PREEMPTED, State.NODE_FAIL, State.BOOT_FAIL, State.REVOKED, State.UNKNOWN}
"""Ends that say nothing against another start, even where the job never came to say anything itself."""


def is_done(folder: Path, job: Job, call: Call) -> bool:
    """True where the work is finished, False where another job should go on with it.

    The ranks' own word counts first, then the batch script's, then Slurm's. Raises `WorkerFailed` where nothing should go on.
    """
    attempts = with_ends(folder, read_attempts(folder))
    write_attempts(folder, attempts)
    last = attempts[-1] if attempts and attempts[-1].job == job.number else None
    if is_finished(call.outcome) or (last is not None and last.verdict == "finished"):
        return True
    if last is not None and last.verdict == "failed":
        raise WorkerFailed(f"job {job.number}: {words_of(folder, last)}")
    if job.state is State.TIMEOUT and call.outcome is None:
        raise WorkerFailed(
            f"job {job.number} reached its time limit of {call.allocation.walltime_minutes:,} minutes, and what it does cannot "
            "go on later. Raise walltime_minutes of this stage in the site's file (slurm.stages)."
        )
    log = folder / "batch.log"
    if job.state in FINAL:
        by_whom = f" ({job.reason})" if job.reason != "None" else ""
        raise WorkerFailed(
            f"job {job.number} ended as {job.state}{by_whom}. What it saved is kept: run the same command again to go on. "
            f"The end of {log}:\n{last_lines(log, 8) or '(nothing was printed)'}"
        )
    if last is None and job.state not in PASSING:
        raise WorkerFailed(
            f"job {job.number} ended as {job.state}, exit code {job.exit_code[0]}, before its ranks began. "
            f"The end of {log}:\n{last_lines(log) or '(nothing was printed)'}"
        )
    why = last.words if last is not None and last.words else job.reason
    if objection := may_start_again(call, attempts):
        raise WorkerFailed(
            f"job {job.number} ended as {job.state} ({why}) and is not started again: {objection}. What it saved is kept: "
            "run the same command again to go on."
        )
    say(f"job {job.number} ended as {job.state} ({why}): submitting the next, which goes on")
    return False


def words_of(folder: Path, attempt: Attempt) -> str:
    """Which rank failed where, and the end of its log."""
    if attempt.rank is None:
        return attempt.words
    log = folder / "logs" / f"rank-{attempt.rank}.log"
    return (
        f"rank {attempt.rank} of {attempt.tasks} on {attempt.node} failed: {attempt.words}. "
        f"Its log {log} ends with:\n{last_lines(log) or '(nothing was printed)'}"
    )
