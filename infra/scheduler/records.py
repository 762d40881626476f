"""Reads and writes the files of a job's folder, the launcher's memory: what was requested, submitted, started, and its end.

`call.json` says what the job runs, `submissions.json` what was submitted (written before and after, so that a crash in between
is seen), `attempts.jsonl` each start of the job and its end, in the job's own words. A job that was killed leaves no end: the
time of the `heartbeat` file is the last that is known of it.
"""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from components.base.fields import Fields
from components.formats.files import write_json, write_text
from components.ranks.progress import last_done
from infra.scheduler.cluster_site import Allocation, ClusterSite

LATE_SECONDS = 24 * 3600.0
"""How long a node's failures count against it."""
LOG_BYTES = 1024 * 1024
"""How much of a log's end is searched for the last progress line, which is printed twice per second."""

Verdict = Literal["finished", "stopped", "lost", "failed"]
"""Done; stopped by a signal with its state saved; taken down by something that may pass; failed by its own fault."""


class JobRequest(Fields):
    """What the ranks run, and how often they may be started; `call.json`."""

    module: str
    arguments: tuple[str, ...]
    outcome: Path | None
    """Where the ranks say whether they finished; None: they have finished if they end well."""
    allocation: Allocation
    site: ClusterSite
    attempts_before: int
    """Starts of earlier requests; they do not count."""


RequestT = TypeVar("RequestT", bound=JobRequest)


class Submission(Fields):
    """One submission of the script."""

    asked: float
    """Seconds since 1970."""
    job: int | None
    """None: the scheduler did not answer, as far as is known here."""


class Attempt(Fields):
    """One start of the job on its nodes, and its end."""

    job: int
    restart: int
    """How often the job had been put back into the queue."""
    queued: float
    """When the job was submitted or requeued, in seconds since 1970."""
    began: float
    nodes: tuple[str, ...]
    tasks: int
    ended: float | None
    verdict: Verdict | None
    """None: the job runs, or was killed before it could say."""
    node: str | None
    """Where the first failure was."""
    rank: int | None
    words: str
    done: int
    """How far the job was, by its last progress line."""


def copy_job_record(folder: Path, script_name: str, target: Path) -> None:
    """Copies what an auditor wants from a job's folder: its script, its submissions, its starts, what they ran in and used."""
    names = (script_name, "submissions.json", "attempts.jsonl", "usage.json", "environment-*.json")
    for path in sorted(path for name in names for path in folder.glob(name)):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.name)


def write_request(folder: Path, request: JobRequest) -> None:
    """Replaces `call.json`."""
    write_json(folder / "call.json", request.model_dump(mode="json"))


def read_request(folder: Path, kind: type[RequestT]) -> RequestT:
    """What the job runs, as its scheduler keeps it."""
    return kind.model_validate_json((folder / "call.json").read_bytes())


def write_submissions(folder: Path, submissions: Sequence[Submission]) -> None:
    """Replaces `submissions.json`."""
    write_json(folder / "submissions.json", [submission.model_dump() for submission in submissions])


def read_submissions(folder: Path) -> list[Submission]:
    """All of them, oldest first."""
    path = folder / "submissions.json"
    return [Submission.model_validate(values) for values in json.loads(path.read_bytes())] if path.exists() else []


def write_attempts(folder: Path, attempts: Sequence[Attempt]) -> None:
    """Replaces `attempts.jsonl`. The job writes it while it runs, the launcher when it does not."""
    write_text(folder / "attempts.jsonl", "".join(attempt.model_dump_json() + "\n" for attempt in attempts))


def read_attempts(folder: Path) -> list[Attempt]:
    """All of them, oldest first."""
    path = folder / "attempts.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Attempt.model_validate_json(line) for line in lines]


def with_ends(folder: Path, attempts: Sequence[Attempt]) -> list[Attempt]:
    """The attempts, none of which runs any more: one that left no end was lost, at its last heartbeat.

    The node of its batch script was lost with it: otherwise the script would have left a word.
    """
    heartbeat = folder / "heartbeat"
    last = heartbeat.stat().st_mtime if heartbeat.exists() else time.time()
    return [
        attempt if attempt.ended is not None else attempt.model_copy(update={
            "ended": max(last, attempt.began), "verdict": "lost", "node": attempt.nodes[0], "done": done_so_far(folder),
            "words": "it was killed before it could say why",
        })
        for attempt in attempts
    ]  # fmt: skip


def done_so_far(folder: Path) -> int:
    """How far rank 0 is, by its last progress line; 0 if there is none."""
    log = folder / "logs" / "rank-0.log"
    if not log.exists():
        return 0
    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - LOG_BYTES, 0))
        return last_done(stream.read())


def failing_nodes(attempts: Sequence[Attempt], now: float) -> list[str]:
    """Nodes on which two or more attempts were lost recently, in alphabetical order: a third should not begin there.

    `now`: seconds since 1970. Losses that are older than a day are forgotten, since a node may have been repaired.
    """
    late = [attempt for attempt in attempts if attempt.ended is not None and now - attempt.ended < LATE_SECONDS]
    lost = [attempt.node for attempt in late if attempt.verdict == "lost" and attempt.node]
    return sorted({node for node in lost if lost.count(node) > 1})


def failures_in_a_row(attempts: Sequence[Attempt]) -> int:
    """How many attempts were lost since the last one that got further than all before it, or was stopped."""
    furthest, count = 0, 0
    for attempt in attempts:
        if attempt.done > furthest or attempt.verdict == "stopped":
            furthest, count = max(furthest, attempt.done), 0
        count += attempt.verdict == "lost"
    return count


def may_start_again(request: JobRequest, attempts: Sequence[Attempt]) -> str:
    """Why the job must not be started once more; "" if it may."""
    counted = attempts[request.attempts_before :]
    if len(counted) >= request.site.attempts:
        return f"it was started {len(counted):,} times, as often as the site's `attempts` allows"
    if (failures := failures_in_a_row(counted)) > request.site.failures_forgiven:
        return f"it was lost {failures:,} times without getting further; the site forgives {request.site.failures_forgiven:,}"
    return ""


def is_finished(outcome: Path | None) -> bool:
    """Whether the ranks say in their outcome that they finished; False if they say nothing."""
    if outcome is None or not outcome.exists():
        return False
    values: dict[str, Any] = json.loads(outcome.read_bytes())
    return bool(values["finished"])


def last_lines(path: Path, count: int = 30) -> str:
    """The end of a log, to be shown when a job failed."""
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - 64 * 1024, 0))
        return b"\n".join(stream.read().splitlines()[-count:]).decode(errors="replace")
