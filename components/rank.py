"""Runs one rank of a cleaning, whichever cleaner it is: `python -m components.rank REQUEST`.

It stands next to the door, above the stages, because it builds the cleaner from the registry: a new cleaner is one file and
its line in `components/params.py`, on a cluster too.
"""

import sys
from collections.abc import Sequence

from components.clean.engine.request import FilterRequest
from components.ranks.main import Rank, end_process, run_rank
from components.ranks.outcome import Outcome


def main(arguments: Sequence[str]) -> int:
    """Runs the rank; returns the exit code."""
    return run_rank(FilterRequest, arguments, work)


def work(request: FilterRequest, rank: Rank) -> Outcome | None:
    """Filters this rank's slice of the pages, unless all is done."""
    if request.is_done():
        return Outcome(finished=True, signal=None) if rank.place.rank == 0 else None
    # these imports take a second, in which a signal may come
    from components.clean.contract import Cleaner
    from components.clean.engine.rank import filter_pages
    from components.params import build_component

    cleaner = build_component("clean", request.cleaner)
    assert isinstance(cleaner, Cleaner), "the registry's section `clean` lists cleaners"
    return filter_pages(request, cleaner, rank)


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
