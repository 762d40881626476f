"""Judges what the end of a job's ranks means: finished, stopped, lost or failed, and which rank on which node was first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.scheduler.ranks_end import Cause, RanksEnd
from infra.scheduler.records import Verdict


@dataclass(frozen=True)
class End:
    """How one start ended, and where it began to go wrong."""

    verdict: Verdict
    node: str | None = None
    rank: int | None = None
    words: str = ""


def judge(found: RanksEnd, notes: Sequence[dict[str, Any]], *, finished: bool, ended_by: str | None) -> End:
    """`notes` are what failing ranks left, oldest first.

    `ended_by`: the scheduler's name if it ended the job itself, by preemption, at its time limit or because somebody wanted it.
    """
    if finished:
        return End("finished")
    if found.failed_node:
        return End("lost", found.failed_node, words="the node failed")
    if found.code == 0:
        return End("stopped", words="stopped by a signal, its state is saved")
    end = own_failure(notes) or out_of_memory(found) or killed(found) or asked(found) or other(found, notes)
    return End("stopped", words=f"ended by {ended_by}") if ended_by and end.verdict == "lost" else end


def own_failure(notes: Sequence[dict[str, Any]]) -> End | None:
    """The first rank that failed for a reason of its own, and not because it lost another."""
    for note in notes:
        if not note["lost"]:
            return End("failed", note["node"], note["rank"], note["words"])
    return None


def out_of_memory(found: RanksEnd) -> End | None:
    """The end if a rank was ended because of its memory: the next start would end the same way."""
    if not found.out_of_memory:
        return None
    words = "out of memory: give it more of the node, or lower the micro-batch"
    named = [end for end in found.ends if end.cause is Cause.OUT_OF_MEMORY] or found.ends
    return End("failed", named[0].node, named[0].rank, words) if named else End("failed", words=words)


def killed(found: RanksEnd) -> End | None:
    """The first rank that something else ended."""
    return next((End("lost", end.node, end.rank, end.words) for end in found.ends if end.cause is Cause.KILLED), None)


def asked(found: RanksEnd) -> End | None:
    """The end if the first bad rank ended by a signal that it did not handle yet."""
    first = found.ends[0] if found.ends else None
    return End("stopped", words=f"rank {first.rank}: {first.words}") if first and first.cause is Cause.ASKED else None


def other(found: RanksEnd, notes: Sequence[dict[str, Any]]) -> End:
    """The end if a rank lost another that left no note, or if one ended badly before it could leave a note."""
    if notes:
        return End("lost", None, notes[0]["rank"], notes[0]["words"])
    if found.ends:
        return End("failed", found.ends[0].node, found.ends[0].rank, found.ends[0].words)
    return End("lost", words=found.words)


def read_notes(folder: Path) -> list[dict[str, Any]]:
    """What failing ranks left (`infra.scheduler.in_job.rank`), oldest first."""
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("rank-*.json")]
    return sorted(notes, key=lambda note: (float(note["time"]), int(note["rank"])))
