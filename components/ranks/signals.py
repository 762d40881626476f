"""The signals that ask a rank to stop: noted when they come, acted on when the rank looks.

It is light, because it is imported before the modules that take seconds.
"""

import signal
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Stopped(Exception):  # never leaves a rank
    """A signal asked this rank to leave."""


class Signals:
    """Notes the signals that ask for an end, from now on."""

    def __init__(self) -> None:
        self.number = 0
        """The last one that came; 0 if none did."""
        for number in STOPPING:
            signal.signal(number, self.note)

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Called by Python."""
        self.number = number

    @property
    def came(self) -> str:
        """The name of the last one; empty if none came."""
        return signal.Signals(self.number).name if self.number else ""

    def stop(self) -> None:
        """Raises `Stopped` if one came."""
        if self.came:
            raise Stopped(self.came)
