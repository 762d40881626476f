"""Decides which tests run on the same worker or machine: those of one file, and all tests that share one clone."""

import argparse
import re
from collections.abc import Sequence

from xdist.scheduler import LoadScopeScheduling

CLONE, ALONE = "tests/e2e/", {"tests/e2e/test_smoke.py", "tests/e2e/test_slurm.py"}


def group_of(nodeid: str) -> str:
    """The group of a test: its file; but all of `e2e/`, whose clone takes a minute to make, is one, but for the longest two."""
    file = nodeid.split("::", 1)[0]
    return CLONE if file.startswith(CLONE) and file not in ALONE else file


class Together(LoadScopeScheduling):
    """The tests of one group run on one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def parse_shard(text: str) -> tuple[int, int]:
    """`2/4`: the second of four shards."""
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if found is None or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N, the Kth of N shards: 1/4, 2/4, 3/4 or 4/4, for example")
    return int(found[1]), int(found[2])


def shard(nodeids: Sequence[str], number: int, of: int) -> set[str]:
    """The tests of one shard. Groups are dealt in the order of their names: no shard is empty if there are as many groups."""
    dealt = sorted({group_of(nodeid) for nodeid in nodeids})[number - 1 :: of]
    return {nodeid for nodeid in nodeids if group_of(nodeid) in dealt}
