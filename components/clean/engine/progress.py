"""How far all ranks of a cleaning are: counted from the units that are filtered, said by rank 0.

It is light, because it is imported before the modules that take a second.
"""

from components.clean.engine.request import FilterRequest
from components.clean.engine.verdicts import Head, read_head
from components.ranks.main import Rank
from components.ranks.progress import ProgressPrinter


class FilterProgress:
    """What one rank calls again and again; each call raises `Stopped` if a signal asked it to leave."""

    def __init__(self, request: FilterRequest, rank: Rank) -> None:
        self.request, self.signals, self.place = request, rank.signals, rank.place
        self.total = 0
        """Pages."""
        self.heads: dict[int, Head] = {}
        """The heads of the filtered units that were seen so far."""
        self.printer = ProgressPrinter()

    def stop(self) -> None:
        """Raises `Stopped` if a signal came."""
        self.signals.stop()

    def look(self) -> None:
        """Says how many pages all ranks have filtered, now and then."""
        self.stop()
        if self.place.rank == 0 and self.printer.due:
            self.see()
            done, kept = (sum(getattr(head, name) for head in self.heads.values()) for name in ("pages", "kept"))
            self.printer.print(done, self.total, f"{kept:,} of {done:,} pages pass")

    def see(self) -> int:
        """Reads what was filtered since the last time; returns how many units are filtered in all."""
        for path in self.request.filtered.glob("[0-9]*.jsonl"):
            if (unit := int(path.stem)) not in self.heads:
                self.heads[unit] = read_head(self.request, unit)
        return len(self.heads)

    def write(self, text: str) -> None:
        """Says what is done once all pages are filtered, now and then."""
        self.stop()
        if self.printer.due:
            self.printer.print(self.total, self.total, text)
