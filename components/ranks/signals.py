"""Signals in, the end of a rank that was asked to stop out; and the lines by which rank 0 says how far all of them are.

Light: it is there before the imports that take seconds.
"""

import json
import signal
import sys
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
PROGRESS_SECONDS = 0.5
"""Between two lines of progress, at least."""


class Stopped(Exception):  # never leaves a worker
    """A signal asked this rank to leave."""


class Signals:
    """Notes the signals that ask for an end, from now on."""

    def __init__(self) -> None:
        self.number = 0
        """The last one that came; 0 where none did."""
        for number in STOPPING:
            signal.signal(number, self.note)

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Called by Python."""
        self.number = number

    @property
    def came(self) -> str:
        """Its name; empty where none came."""
        return signal.Signals(self.number).name if self.number else ""

    def stop(self) -> None:
        """Raises `Stopped` where one came."""
        if self.came:
            raise Stopped(self.came)


def print_progress(done: int, total: int, text: str) -> None:
    """Prints a line that the flow shows as progress."""
    progress = {"done": done, "total": total, "text": text}
    sys.stdout.write(f"@progress {json.dumps(progress, ensure_ascii=False)}\n")
    sys.stdout.flush()
