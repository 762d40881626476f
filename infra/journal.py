"""Prints a stage's progress and messages as lines on standard output; the flow reads them live.

Progress lines are those of `components.ranks.progress`: at most two per second, and always the first and the last.
A job's line is `@job {"words": …, "folder": …}`; it follows the plain line that says the same words about the job's state.
"""

import time
from pathlib import Path

from components.formats.names import printable_lines
from components.ranks.progress import INTERVAL_SECONDS, Progress

JOB_MARK = "@job "


class LineJournal:
    """Satisfies `components.base.ports.Journal`."""

    def __init__(self, metrics: Path) -> None:
        self._metrics = metrics
        self._printed = 0.0

    def progress(self, done: int, total: int, text: str) -> None:
        """Prints a progress line, unless one was printed a moment ago."""
        now = time.monotonic()
        if done < total and done > 0 and now - self._printed < INTERVAL_SECONDS:
            return
        self._printed = now
        self.say(Progress(done, total, text).line())

    def say(self, text: str) -> None:
        """Prints one line at once."""
        print(printable_lines(text), flush=True)  # noqa: T201  (standard output is the protocol)

    @property
    def metrics(self) -> Path:
        """The JSONL file of this stage's metrics."""
        return self._metrics
