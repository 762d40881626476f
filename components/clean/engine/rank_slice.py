"""A rank's call and place in, its share of the units judged, and as rank 0 the whole gathered, out."""

import time
from functools import partial

from components.clean.engine.filter_unit import judge_unit
from components.clean.engine.merge import gather
from components.clean.engine.parallel import do_all
from components.clean.engine.progress import Watch
from components.clean.engine.request import Call
from components.clean.engine.units import Unit, units_of
from components.formats.manifest import read_manifest

WAIT_SECONDS = 0.2


def work(call: Call, watch: Watch) -> None:
    """Judges a share; as rank 0 does what comes after all shares, too. Raises `Stopped`, `InputError`, `WorkerFailed`."""
    manifest = read_manifest(call.sources)
    watch.total, units = manifest.pages, units_of(manifest)
    judge_share(call, units, watch)
    if watch.rank == 0:
        while watch.see() < len(units):
            watch.look()
            time.sleep(WAIT_SECONDS)
        gather(call, manifest, units, watch)


def judge_share(call: Call, units: list[Unit], watch: Watch) -> None:
    """Judges what is left of this rank's share."""
    share = [unit for unit in units[watch.rank :: watch.ranks] if not call.rows(unit.number).exists()]
    if share:
        do_all(partial(judge_unit, call), share, min(call.workers, len(share)), watch.look)
