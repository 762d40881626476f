"""How the ranks of a job ended, in the words of whoever started them; what that means is judged elsewhere."""

from dataclasses import dataclass
from enum import Enum, auto


class Cause(Enum):
    """What ended a rank, as far as whoever started it can tell."""

    KILLED = auto()
    """Something that the rank did not choose: its node, its driver or another's end may be behind it."""
    ASKED = auto()
    """A signal that asks for an end, and found nobody who could save anything."""
    OUT_OF_MEMORY = auto()
    """The scheduler or the kernel, for its memory."""
    OTHER = auto()
    """It ended badly; it may have left a note that says why."""


@dataclass(frozen=True)
class RankEnd:
    """A rank that ended badly, or the first of several that ended alike."""

    node: str
    rank: int
    cause: Cause
    words: str


@dataclass(frozen=True)
class RanksEnd:
    """How all ranks ended, in the words of the program that started them."""

    code: int
    """That program's exit code."""
    ends: tuple[RankEnd, ...]
    """Bad ones, in the order in which they were told; what is told of first may have caused the rest."""
    failed_node: str | None
    out_of_memory: bool
    """Whether memory is spoken of at all, be it of no rank in particular."""
    words: str
    """The last that was said."""
