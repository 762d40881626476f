"""What one rank of a cleaning does: filters its slice of the units, and as rank 0 merges the whole.

Rank r of W filters the units r, r + W, r + 2W, … that nobody filtered before, in processes of its own. The ranks need not meet:
a filtered unit is a file. Rank 0 waits for all units, and merges them. If another rank dies, whoever started the ranks ends
rank 0 too. A rank that is asked to leave drops the units in hand.
"""

import time
from functools import partial

from components.clean.engine.filter_unit import filter_unit
from components.clean.engine.merge import merge
from components.clean.engine.parallel import do_all
from components.clean.engine.progress import FilterProgress
from components.clean.engine.request import FilterRequest
from components.clean.engine.units import Unit, units_of
from components.clean.page import PageFilter
from components.formats.manifest import read_manifest
from components.ranks.main import Rank
from components.ranks.outcome import Outcome

WAIT_SECONDS = 0.2


def filter_pages(request: FilterRequest, cleaner: PageFilter, rank: Rank) -> Outcome | None:
    """Filters a slice; rank 0 also does what comes after all slices. Raises `Stopped`, `InputError`, `WorkerFailed`."""
    progress, manifest = FilterProgress(request, rank), read_manifest(request.sources)
    progress.total, units = manifest.pages, units_of(manifest)
    request.filtered.mkdir(parents=True, exist_ok=True)
    filter_slice(request, cleaner, units, progress)
    if rank.place.rank:
        return None
    while progress.see() < len(units):
        progress.look()
        time.sleep(WAIT_SECONDS)
    merge(request, cleaner, manifest, progress)
    return Outcome(finished=True, signal=None)


def filter_slice(request: FilterRequest, cleaner: PageFilter, units: list[Unit], progress: FilterProgress) -> None:
    """Filters what is left of this rank's slice."""
    place = progress.place
    left = [unit for unit in units[place.rank :: place.ranks] if not request.rows(unit.number).exists()]
    if left:
        do_all(partial(filter_unit, request, cleaner), left, min(request.workers, len(left)), progress.look)
