"""What a rank's process does from its first line to its last: it listens for signals, works, and says how it ended.

SIGTERM, SIGUSR1 and SIGUSR2 ask a rank to keep what it has and leave, with exit code 0 and an outcome that says so: a launcher
that kills everything at the first bad exit would race with what is being saved.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from components.errors import InputError, MartletError, ParameterError, ResourceError
from components.formats.disk import disk_refusal, trouble_behind
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
        if outcome := ending_of(work, request, rank):
            outcome.write(request.outcome)
    except Exception as error:
        refusal = refusal_of(error, request)
        if refusal is None:
            raise
        if isinstance(refusal, InputError | ParameterError | ResourceError):
            write_refusal(request.refusal, refusal)  # whoever started the ranks says it, once
        else:
            sys.stderr.write(f"{refusal}\n")
        return 1
    return 0


def ending_of(work: Callable[[Request, Rank], Outcome | None], request: Request, rank: Rank) -> Outcome | None:
    """The outcome that the work returns; that of a stop, if a signal ended it."""
    try:
        return work(request, rank)
    except Stopped:
        return Outcome(finished=False, signal=rank.signals.came)


def refusal_of(error: Exception, request: RankRequest) -> MartletError | None:
    """What a person can mend of an error: it is one of Martlet's own, or a disk's; None for a fault of our own."""
    if isinstance(error, MartletError):
        return error
    trouble = trouble_behind(error, [request.scratch, Path(tempfile.gettempdir()), Path.cwd()])
    return disk_refusal(trouble) if trouble else None


def end_process(code: int) -> NoReturn:
    """Ends a rank's process, a good end at once.

    The interpreter's own way out unloads torch for a second, and a signal in that time would look like a failure.
    """
    sys.stdout.flush()
    if code == 0:
        os._exit(0)
    sys.exit(code)
