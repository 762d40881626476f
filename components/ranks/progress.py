"""Progress lines: how a stage and its ranks say on standard output how far they are, and how that is read.

A line is `@progress {"done": …, "total": …, "text": …}`. Rank 0 speaks for all ranks.
"""

import json
import re
import sys
import time
from dataclasses import dataclass

MARK = "@progress "
INTERVAL_SECONDS = 0.5
"""Between two lines, at least."""
DONE = re.compile(rb"^" + MARK.encode() + rb'\{"done": (\d+)', re.MULTILINE)


@dataclass(frozen=True)
class Progress:
    """What a line says."""

    done: int
    total: int
    text: str

    def line(self) -> str:
        """As it is printed."""
        values = {"done": self.done, "total": self.total, "text": self.text}
        return MARK + json.dumps(values, ensure_ascii=False)


def read_progress(line: str) -> Progress | None:
    """What a printed line says of progress; None if it is another line."""
    return Progress(**json.loads(line[len(MARK) :])) if line.startswith(MARK) else None


def last_done(log: bytes) -> int:
    """How far the last progress line of a log says it is; 0 if there is none."""
    found = DONE.findall(log)
    return int(found[-1]) if found else 0


class ProgressPrinter:
    """Prints progress lines, and few of them."""

    def __init__(self) -> None:
        self.printed = -INTERVAL_SECONDS

    @property
    def due(self) -> bool:
        """Whether the last line is old enough for another."""
        return time.monotonic() - self.printed >= INTERVAL_SECONDS

    def print(self, done: int, total: int, text: str) -> None:
        """Prints a line at once."""
        self.printed = time.monotonic()
        sys.stdout.write(Progress(done, total, text).line() + "\n")
        sys.stdout.flush()
