"""Reports how many measurements all ranks of an evaluation have made; rank 0 says so as long as it has work itself.

This module imports nothing heavy: it is used before the imports that take seconds.
"""

from collections.abc import Callable

from components.evaluate.engine.request import EvaluationRequest
from components.ranks.main import Rank
from components.ranks.progress import ProgressPrinter


class EvaluationProgress:
    """The progress that one rank reports after every batch."""

    def __init__(self, request: EvaluationRequest, rank: Rank) -> None:
        self.request, self.signals, self.place = request, rank.signals, rank.place
        self.printer = ProgressPrinter()

    def at(self, what: str) -> Callable[[int, int], None]:
        """A function to call with `done` and `total` after each batch of `what`. It raises `Stopped`."""
        return lambda done, total: self.see(f"{what}, {done:,} of {total:,}")

    def see(self, text: str) -> None:
        """Says now and then how many measurements all ranks have made. Raises `Stopped` if a signal came."""
        self.signals.stop()
        if self.place.rank == 0 and self.printer.due:
            total = len(self.request.measurements)
            self.printer.print(total - len(self.request.left()), total, f"measurements; {text}")
