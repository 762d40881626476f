"""A rank that writes weights until the disk of $RANK_FILLS takes nothing more; rank 1 only waits."""

import os
import signal
import sys
from pathlib import Path

from components.formats.disk import naming
from components.ranks.main import Rank, end_process, run_rank
from components.ranks.outcome import Outcome
from tests.unit.ranks.test_ranks import Count


def fill(_request: Count, rank: Rank) -> Outcome | None:
    """Writes, and never ends well."""
    if rank.place.rank:
        signal.pause()
    path = Path(os.environ["RANK_FILLS"]) / "weights"
    with naming(path), path.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


if __name__ == "__main__":
    if (library := os.environ.get("RANK_PRELOADS")) and os.environ.get("LD_PRELOAD") != library:
        os.environ["LD_PRELOAD"] = library
        os.execv(sys.executable, [sys.executable, "-m", "tests.support.ranks.filling_worker", *sys.argv[1:]])  # noqa: S606
    end_process(run_rank(Count, sys.argv[1:], fill))
