"""Batches and signals in, progress lines out; and the end of a rank that was asked to stop.

Light: it is there before the imports that take seconds.
"""

import os
import time
from collections.abc import Callable

from components.evaluate.engine.device_assignment import RankPlace
from components.evaluate.engine.request import EvaluationRequest
from components.ranks.signals import PROGRESS_SECONDS, Signals, print_progress


class Watch:
    """One rank's place, and what it calls after every batch. Rank 0 speaks for all, as long as it has work itself."""

    def __init__(self, call: EvaluationRequest, signals: Signals) -> None:
        self.call, self.signals = call, signals
        self.place = RankPlace(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))
        self.printed = -PROGRESS_SECONDS

    def at(self, what: str) -> Callable[[int, int], None]:
        """What is called with `done` and `total` after each batch of `what`. It raises `Stopped`."""
        return lambda done, total: self.see(f"{what}, {done:,} of {total:,}")

    def see(self, text: str) -> None:
        """Says how many measurements all ranks have made, now and then. Raises `Stopped` where a signal came."""
        self.signals.stop()
        if self.place.rank == 0 and time.monotonic() - self.printed >= PROGRESS_SECONDS:
            self.printed = time.monotonic()
            total = len(self.call.measurements)
            print_progress(total - len(self.call.left()), total, f"measurements; {text}")
