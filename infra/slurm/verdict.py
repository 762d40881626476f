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
NODE_FAILED = re.compile(r"^srun: error: Node failure on (\S+)", re.MULTILINE)
KILLED = re.compile(r"Killed|Segmentation fault|Bus error|Aborted|exit code (?:134|135|137|139)\b")
"""Ends that a rank does not choose: its node, its driver or another's end may be the cause."""
ASKED = re.compile(r"Terminated|User defined signal|exit code (?:138|140|143)\b")
"""A signal that asks for an end, and found nobody who could save anything; srun sends its own only after a bad end."""


@dataclass(frozen=True)
class End:
    """What became of one start, and where it began to go wrong."""

    verdict: Verdict
    node: str | None = None
    rank: int | None = None
    words: str = ""


def judge(code: int, said: str, notes: Sequence[dict[str, Any]], *, finished: bool, terminated: bool) -> End:
    """`code` and `said` are srun's exit code and standard error; `notes` what failing ranks left, oldest first.

    `terminated`: Slurm itself ended the job, by preemption, for its time or because somebody wanted it.
    """
    if finished:
        return End("finished")
    if node := NODE_FAILED.search(said):
        return End("lost", node[1], words="the node failed")
    if code == 0:
        return End("stopped", words="stopped by a signal, its state is saved")
    ends = [End("lost", node, int(rank), how) for node, rank, how in TASK_ENDED.findall(said)]
    end = own_failure(notes) or out_of_memory(ends, said) or killed(ends) or asked(ends) or other(ends, notes, said, code)
    return End("stopped", words="ended by Slurm") if terminated and end.verdict == "lost" else end


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


def asked(ends: Sequence[End]) -> End | None:
    """Where the first of them ended by a signal that it did not handle yet."""
    return End("stopped", words=f"rank {ends[0].rank}: {ends[0].words}") if ends and ASKED.search(ends[0].words) else None


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
