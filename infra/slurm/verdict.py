"""How the ranks ended, in srun's words and their own notes, in; what that means out: finished, stopped, lost or failed."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.slurm.records import Verdict

TASK_ENDED = re.compile(r"^srun: error: (\S+): tasks? (\d+)[\d,-]*: (.+)$", re.MULTILINE)
OUT_OF_MEMORY = re.compile(r"out of memory|oom[- ]kill", re.IGNORECASE)
KILLED = re.compile(r"Killed|Segmentation fault|Bus error|Aborted|Terminated|exit code (?:134|135|137|139|143)\b")
"""Ends that a rank does not choose: its node, its driver or another's end may be the cause."""


@dataclass(frozen=True)
class End:
    """What became of one start, and where it began to go wrong."""

    verdict: Verdict
    node: str | None = None
    rank: int | None = None
    words: str = ""


def judge(code: int, said: str, notes: Sequence[dict[str, Any]], *, finished: bool) -> End:
    """`code` and `said` are srun's exit code and standard error; `notes` what failing ranks left, oldest first."""
    if finished:
        return End("finished")
    if code == 0:
        return End("stopped", words="stopped by a signal, its state is saved")
    ends = [End("lost", node, int(rank), how) for node, rank, how in TASK_ENDED.findall(said)]
    return own_failure(notes) or out_of_memory(ends, said) or killed(ends) or other(ends, notes, said, code)


def own_failure(notes: Sequence[dict[str, Any]]) -> End | None:
    """The first rank that failed for a reason of its own, and not because it lost another."""
    for note in notes:
        if not note["lost"]:
            return End("failed", note["node"], note["rank"], note["words"])
    return None


def out_of_memory(ends: Sequence[End], said: str) -> End | None:
    """Where Slurm or the kernel ended a rank for its memory: the next start would end alike."""
    if not OUT_OF_MEMORY.search(said):
        return None
    whose = next((end for end in ends if OUT_OF_MEMORY.search(end.words)), ends[0] if ends else End("failed"))
    return End("failed", whose.node, whose.rank, "out of memory: give it more of the node, or lower the micro-batch")


def killed(ends: Sequence[End]) -> End | None:
    """The first rank that something else ended."""
    return next((end for end in ends if KILLED.search(end.words)), None)


def other(ends: Sequence[End], notes: Sequence[dict[str, Any]], said: str, code: int) -> End:
    """A rank that lost another which left no word; or one that ended badly before it could leave a note."""
    if notes:
        return End("lost", None, notes[0]["rank"], notes[0]["words"])
    if ends:
        return End("failed", ends[0].node, ends[0].rank, ends[0].words)
    lines = said.strip().splitlines()
    return End("lost", words=lines[-1] if lines else f"srun ended with exit code {code}")


def read_notes(folder: Path) -> list[dict[str, Any]]:
    """What failing ranks left (`infra.slurm.rank`), oldest first."""
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("rank-*.json")]
    return sorted(notes, key=lambda note: (float(note["time"]), int(note["rank"])))
