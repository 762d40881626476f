"""A job as any scheduler knows it: its state, the reason for it, its nodes and its times."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Self


class Phase(Enum):
    """The state of a job, whatever its scheduler calls that."""

    WAITING = auto()
    """It has yet to start, or to start again."""
    RUNNING = auto()
    """Something of it runs, or is about to."""
    ENDING = auto()
    """The scheduler is ending it, for its own reasons: it can no longer be requeued."""
    UNKNOWN = auto()
    """The scheduler's word is not understood, or the scheduler no longer remembers the job."""
    TIME_LIMIT = auto()
    """It ended at its time limit."""
    INTERRUPTED = auto()
    """It ended for a reason that says nothing against another start, such as preemption or a node that failed."""
    ENDED_FOR_GOOD = auto()
    """No other job is started after it: somebody wanted the end, or the next start would end the same way."""
    EXITED = auto()
    """Its script ended by itself, well or badly."""


ENDED = frozenset({Phase.TIME_LIMIT, Phase.INTERRUPTED, Phase.ENDED_FOR_GOOD, Phase.EXITED})


@dataclass(frozen=True)
class Job:
    """What a scheduler says of a job at one moment; times are in UTC."""

    number: int
    name: str
    phase: Phase
    state: str
    """The scheduler's own word for it."""
    reason: str
    """Why it waits, or why it ended; "None" if the scheduler gives none."""
    nodes: str
    """Its nodes as the scheduler writes them, such as `node[1-2]`; empty while it has none."""
    submitted: datetime | None
    start: datetime | None
    """Of a waiting job: when the scheduler expects it to start, if it knows."""
    end: datetime | None
    """None while the job lives."""
    restarts: int
    exit_code: tuple[int, int]
    """Of the batch script: code and signal."""
    stuck: bool = False
    """Whether it waits for something that will hardly happen: somebody should be told, with the scheduler's `remedy`."""
    lacks_nodes: bool = False
    """Whether it waits because too few nodes are as it asks, not counting those that it keeps away from."""

    @classmethod
    def just_submitted(cls, number: int, name: str) -> Self:
        """A job that the scheduler accepted, and about which it has said nothing yet."""
        return cls(number, name, Phase.WAITING, "SUBMITTED", "None", "", datetime.now(UTC), None, None, 0, (0, 0))

    def forgotten(self, scheduler: str) -> Self:
        """The same job, once nobody remembers how it ended; `scheduler` is the scheduler's name for people."""
        return replace(self, phase=Phase.UNKNOWN, state="UNKNOWN", reason=f"{scheduler} remembers it no more")

    @property
    def living(self) -> bool:
        """Whether something of it runs, waits, or is about to: true for everything that is not plainly an end."""
        return self.phase not in ENDED

    @property
    def waiting(self) -> bool:
        """Whether it has yet to start, or to start again."""
        return self.phase is Phase.WAITING
