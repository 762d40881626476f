"""Batches and signals in, progress lines out; and the end of a rank that was asked to stop.

Light: it is there before the imports that take seconds.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from components.evaluate.call import Call
from components.evaluate.seats import Place

STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
PROGRESS_SECONDS = 0.5


class Stopped(Exception):  # never leaves the worker
    """A signal asked this rank to leave."""


class Signals:
    """Notes the signals that ask for an end, from now on."""

    def __init__(self) -> None:
        self.came = ""
        for number in STOPPING:
            signal.signal(number, self.note)

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Called by Python."""
        self.came = signal.Signals(number).name


class Watch:
    """One rank's place, and what it calls after every batch. Rank 0 speaks for all, as long as it has work itself."""

    def __init__(self, call: Call, signals: Signals) -> None:
        self.call, self.signals = call, signals
        self.place = Place(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))
        self.printed = -PROGRESS_SECONDS

    def at(self, what: str) -> Callable[[int, int], None]:
        """What is called with `done` and `total` after each batch of `what`. It raises `Stopped`."""
        return lambda done, total: self.see(f"{what}, {done:,} of {total:,}")

    def see(self, text: str) -> None:
        """Says how many measurements all ranks have made, now and then. Raises `Stopped` where a signal came."""
        if self.signals.came:
            raise Stopped(self.signals.came)
        if self.place.rank == 0 and time.monotonic() - self.printed >= PROGRESS_SECONDS:
            self.printed = time.monotonic()
            total = len(self.call.measurements)
            progress = {"done": total - len(self.call.left()), "total": total, "text": f"measurements; {text}"}
            sys.stdout.write(f"@progress {json.dumps(progress, ensure_ascii=False)}\n")
            sys.stdout.flush()
