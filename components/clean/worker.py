"""A call's file in, a cleaned corpus out: one rank of a cleaning, started with `python -m`.

Rank r of W judges the units r, r + W, r + 2W, … that nobody judged before, in processes of its own. The ranks need not meet:
a judged unit is a file. Rank 0 waits for all of them, and gathers. Another rank that dies ends rank 0 through whoever
started them. SIGTERM, SIGUSR1 and SIGUSR2 mean: drop the units in hand and leave; with exit code 0, and an outcome that
says so.
"""

import sys
import time
from functools import partial
from pathlib import Path

from components.clean.call import Call
from components.clean.gather import gather
from components.clean.parallel import do_all
from components.clean.unit_worker import judge_unit
from components.clean.units import Unit, units_of
from components.clean.worker_watch import Signals, Stopped, Watch
from components.errors import InputError, MartletError
from components.formats.endings import Outcome, write_refusal
from components.formats.manifest import read_manifest

WAIT_SECONDS = 0.2


def main(arguments: list[str]) -> int:
    """Runs one rank; returns the exit code."""
    signals = Signals()
    call = Call.model_validate_json(Path(arguments[0]).read_bytes())
    watch = Watch(call, signals)
    try:
        if not call.result.exists():
            work(call, watch)
    except InputError as error:
        write_refusal(call.refusal, error)  # whoever started the ranks says it
        return 1
    except MartletError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except Stopped:
        Outcome(finished=False, signal=signals.came).write(call.outcome)
    else:
        if watch.rank == 0:
            Outcome(finished=True, signal=None).write(call.outcome)
    return 0


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
