"""A call's file in, a cleaned corpus out: one rank of a cleaning, started with `python -m`.

Rank r of W filters the units r, r + W, r + 2W, … that nobody filtered before, in processes of its own. The ranks need not meet:
a filtered unit is a file. Rank 0 waits for all of them, and merges. Another rank that dies ends rank 0 through whoever
started them. SIGTERM, SIGUSR1 and SIGUSR2 mean: drop the units in hand and leave; with exit code 0, and an outcome that
says so.
"""

import errno
import sys
from pathlib import Path

from components.clean.engine.progress import Watch
from components.clean.engine.request import FilterRequest
from components.errors import InputError, MartletError
from components.ranks.outcome import Outcome, write_refusal
from components.ranks.signals import Signals, Stopped


def main(arguments: list[str]) -> int:
    """Runs one rank; returns the exit code."""
    signals = Signals()
    call = FilterRequest.model_validate_json(Path(arguments[0]).read_bytes())
    watch = Watch(call, signals)
    try:
        if not call.result.exists():
            from components.clean.engine.rank_slice import work  # takes a second, in which a signal may come

            work(call, watch)
    except InputError as error:
        write_refusal(call.refusal, error)  # whoever started the ranks says it
        return 1
    except MartletError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stderr.write(f"no space is left on the disk of {call.scratch}; what is filtered is kept\n")
        return 1
    except Stopped:
        Outcome(finished=False, signal=signals.came).write(call.outcome)
    else:
        if watch.rank == 0:
            Outcome(finished=True, signal=None).write(call.outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
