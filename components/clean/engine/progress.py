"""Judged units in, progress lines out; and the end of a rank that was asked to stop.

Light: it is there before the imports that take a second.
"""

import os
import time

from components.clean.engine.request import FilterRequest
from components.clean.engine.verdicts import Head, read_head
from components.ranks.signals import PROGRESS_SECONDS, Signals, print_progress


class Watch:
    """One rank's place, and what it calls again and again. Rank 0 speaks for all."""

    def __init__(self, call: FilterRequest, signals: Signals) -> None:
        self.call, self.signals = call, signals
        self.rank, self.ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.total = 0
        """Pages."""
        self.heads: dict[int, Head] = {}
        """Of the filtered units that were seen so far."""
        self.printed = -PROGRESS_SECONDS

    def stop(self) -> None:
        """Raises `Stopped` where a signal came."""
        self.signals.stop()

    def look(self) -> None:
        """Says how many pages all ranks have filtered, now and then. Raises `Stopped`."""
        self.stop()
        if self.rank == 0 and time.monotonic() - self.printed >= PROGRESS_SECONDS:
            self.see()
            done, kept = (sum(getattr(head, name) for head in self.heads.values()) for name in ("pages", "kept"))
            self.say(done, f"{kept:,} of {done:,} pages pass")

    def see(self) -> int:
        """Reads what was filtered since the last time; returns how many units are."""
        for path in self.call.filtered.glob("[0-9]*.jsonl"):
            if (unit := int(path.stem)) not in self.heads:
                self.heads[unit] = read_head(self.call, unit)
        return len(self.heads)

    def write(self, text: str) -> None:
        """Says what is done once all pages are filtered, now and then. Raises `Stopped`."""
        self.stop()
        if time.monotonic() - self.printed >= PROGRESS_SECONDS:
            self.say(self.total, text)

    def say(self, done: int, text: str) -> None:
        """Prints a progress line."""
        self.printed = time.monotonic()
        print_progress(done, self.total, text)
