"""How the ranks of a job ended, in the words of the program that started them; what that means is judged elsewhere."""

from dataclasses import dataclass
from enum import Enum, auto


class Cause(Enum):
    """What ended a rank, as far as the program that started it can tell."""

    KILLED = auto()
    """Something outside the rank: its node, its driver or another rank's end may be the reason."""
    ASKED = auto()
    """A signal that asks for an end, before the rank was able to save anything."""
    OUT_OF_MEMORY = auto()
    """The scheduler or the kernel, because of the rank's memory."""
    OTHER = auto()
    """The rank ended badly; it may have left a note that says why."""


@dataclass(frozen=True)
class RankEnd:
    """A rank that ended badly, or the first of several that ended in the same way."""

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
    """Bad ends, in the order in which they were reported; the first may have caused the rest."""
    failed_node: str | None
    out_of_memory: bool
    """Whether memory is mentioned at all, even if for no particular rank."""
    words: str
    """The last line that was said."""
