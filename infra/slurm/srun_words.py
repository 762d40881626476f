"""Reads what srun says about the end of its tasks: which task on which node ended, and how."""

import re

from infra.scheduler.ranks_end import Cause, RankEnd, RanksEnd

TASK_ENDED = re.compile(r"^srun: error: (\S+): tasks? (\d+)[\d,-]*: (.+)$", re.MULTILINE)
NODE_FAILED = re.compile(r"^srun: error: Node failure on (\S+)", re.MULTILINE)
OUT_OF_MEMORY = re.compile(r"out of memory|oom[- ]kill", re.IGNORECASE)
CAUSES = {
    Cause.OUT_OF_MEMORY: OUT_OF_MEMORY,
    Cause.KILLED: re.compile(r"Killed|Segmentation fault|Bus error|Aborted|exit code (?:134|135|137|139)\b"),
    # srun sends signals of its own only after a bad end
    Cause.ASKED: re.compile(r"Terminated|User defined signal|exit code (?:138|140|143)\b"),
}
"""The first that fits counts."""


def read_ranks_end(code: int, said: str) -> RanksEnd:
    """`code` and `said` are srun's exit code and standard error. The texts are those of Slurm 22.05."""
    node, lines = NODE_FAILED.search(said), said.strip().splitlines()
    return RanksEnd(
        code=code,
        ends=tuple(RankEnd(where, int(rank), cause_of(words), words) for where, rank, words in TASK_ENDED.findall(said)),
        failed_node=node[1] if node else None,
        out_of_memory=OUT_OF_MEMORY.search(said) is not None,
        words=lines[-1] if lines else f"srun ended with exit code {code}",
    )


def cause_of(words: str) -> Cause:
    """What ended a task, in srun's words."""
    return next((cause for cause, pattern in CAUSES.items() if pattern.search(words)), Cause.OTHER)
