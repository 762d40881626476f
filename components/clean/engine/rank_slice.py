"""A rank's call and place in, its share of the units filtered, and as rank 0 the whole gathered, out."""

import time
from functools import partial

from components.clean.engine.filter_unit import filter_unit
from components.clean.engine.merge import merge
from components.clean.engine.parallel import do_all
from components.clean.engine.progress import Watch
from components.clean.engine.request import FilterRequest
from components.clean.engine.units import Unit, units_of
from components.formats.manifest import read_manifest

WAIT_SECONDS = 0.2


def work(call: FilterRequest, watch: Watch) -> None:
    """Judges a share; as rank 0 does what comes after all shares, too. Raises `Stopped`, `InputError`, `WorkerFailed`."""
    manifest = read_manifest(call.sources)
    watch.total, units = manifest.pages, units_of(manifest)
    filter_slice(call, units, watch)
    if watch.rank == 0:
        while watch.see() < len(units):
            watch.look()
            time.sleep(WAIT_SECONDS)
        merge(call, manifest, units, watch)


def filter_slice(call: FilterRequest, units: list[Unit], watch: Watch) -> None:
    """Judges what is left of this rank's share."""
    share = [unit for unit in units[watch.rank :: watch.ranks] if not call.rows(unit.number).exists()]
    if share:
        do_all(partial(filter_unit, call), share, min(call.workers, len(share)), watch.look)
