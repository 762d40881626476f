"""What a rank's process does from its first line to its last: it listens for signals, works, and says how it ended.

SIGTERM, SIGUSR1 and SIGUSR2 ask a rank to keep what it has and leave, with exit code 0 and an outcome that says so: a launcher
that kills everything at the first bad exit would race with what is being saved.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from components.errors import InputError, MartletError, ParameterError
from components.ranks.outcome import Outcome, write_refusal
from components.ranks.place import RankPlace
from components.ranks.request import RankRequest
from components.ranks.signals import Signals, Stopped

Request = TypeVar("Request", bound=RankRequest)


@dataclass(frozen=True)
class Rank:
    """One rank: its place, and the signals that came to it."""

    place: RankPlace
    signals: Signals


def run_rank(kind: type[Request], arguments: Sequence[str], work: Callable[[Request, Rank], Outcome | None]) -> int:
    """Carries out this rank's part of the request whose file is named; returns the exit code.

    `work` returns the outcome of all ranks, or None if it is another rank's to state; it may raise `Stopped`.
    """
    rank = Rank(RankPlace.of_this_process(), Signals())
    request = kind.read(Path(arguments[0]))
    try:
        outcome = work(request, rank)
    except (InputError, ParameterError) as error:
        write_refusal(request.refusal, error)  # whoever started the ranks says it, once
        return 1
    except MartletError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stderr.write(f"no space is left on the disk of {request.scratch}; what is saved is kept\n")
        return 1
    except Stopped:
        outcome = Outcome(finished=False, signal=rank.signals.came)
    if outcome is not None:
        outcome.write(request.outcome)
    return 0


def end_process(code: int) -> NoReturn:
    """Ends a rank's process, a good end at once.

    The interpreter's own way out unloads torch for a second, and a signal in that time would look like a failure.
    """
    sys.stdout.flush()
    if code == 0:
        os._exit(0)
    sys.exit(code)
