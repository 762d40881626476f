"""What Slurm prints of a job in, a `Job` out.

The text forms of scontrol and sacct alone are the same from Slurm 22.05 to 24.11; the JSON ones are not. Words that are not
understood are an error or `State.UNKNOWN`, never a guess.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from components.errors import ServiceError


class State(StrEnum):
    """Slurm's states of a job, in their long form."""

    PENDING = "PENDING"
    CONFIGURING = "CONFIGURING"
    RUNNING = "RUNNING"
    COMPLETING = "COMPLETING"
    STAGE_OUT = "STAGE_OUT"
    SIGNALING = "SIGNALING"
    SUSPENDED = "SUSPENDED"
    STOPPED = "STOPPED"
    RESIZING = "RESIZING"
    REQUEUED = "REQUEUED"
    REQUEUE_FED = "REQUEUE_FED"
    REQUEUE_HOLD = "REQUEUE_HOLD"
    RESV_DEL_HOLD = "RESV_DEL_HOLD"
    SPECIAL_EXIT = "SPECIAL_EXIT"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    NODE_FAIL = "NODE_FAIL"
    PREEMPTED = "PREEMPTED"
    BOOT_FAIL = "BOOT_FAIL"
    DEADLINE = "DEADLINE"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    REVOKED = "REVOKED"
    UNKNOWN = "UNKNOWN"
    """A word that is none of the above."""


WAITING = frozenset({
    State.PENDING, State.REQUEUED, State.REQUEUE_FED, State.REQUEUE_HOLD, State.RESV_DEL_HOLD, State.SPECIAL_EXIT,
})  # fmt: skip
PASSING = frozenset({State.NODE_FAIL, State.PREEMPTED, State.BOOT_FAIL})
"""Ends after which Slurm may put the job back into the queue."""
ENDED = PASSING | {
    State.COMPLETED, State.CANCELLED, State.FAILED, State.TIMEOUT, State.DEADLINE, State.OUT_OF_MEMORY, State.REVOKED,
}  # fmt: skip

SCONTROL = re.compile(
    r"JobId=(?P<number>\d+) (?:\S+=\S+ )*?JobName=(?P<name>.*?) UserId=.*? JobState=(?P<state>\w+) Reason=(?P<reason>.*?) "
    r"(?:FailedNode=\S* )?Dependency=.*? Restarts=(?P<restarts>\d+) .*?ExitCode=(?P<code>\d+):(?P<signal>\d+) .*?"
    r"SubmitTime=(?P<submitted>\S+) .*?StartTime=(?P<start>\S+) EndTime=(?P<end>\S+) .*? NodeList=(?P<nodes>\S*) .*"
)
"""One line, its keys in the order in which every release prints them; a user's words (name, comment) may hold anything."""
SACCT = "JobIDRaw,State,Reason,ExitCode,Submit,Start,End,NodeList,JobName"
NO_TIME = {"Unknown", "None", "N/A", "(null)", ""}
NO_NODES = {"(null)", "None assigned", ""}

FOR_EVER = re.compile(
    "PartitionTimeLimit|PartitionNodeLimit|BadConstraints|DependencyNeverSatisfied|NotAllowed|Invalid|PerJob"
)
"""Reasons to wait that hardly pass: limits of the partition, or of an account or QoS for a single job.

Slurm takes a job beyond its partition's limits where EnforcePartLimits is NO, the default. PartitionNodeLimit can also mean
that nodes are down.
"""


@dataclass(frozen=True)
class Job:
    """What Slurm says of a job at one moment; times are in UTC."""

    number: int
    name: str
    state: State
    reason: str
    """Why it waits, or why it ended; "None" where Slurm gives none."""
    nodes: str
    """A node list as Slurm writes it (`node[1-2]`); empty while it has none."""
    submitted: datetime | None
    start: datetime | None
    """Of a waiting job: when Slurm expects it to start, where it knows."""
    end: datetime | None
    """None while the job lives."""
    restarts: int
    exit_code: tuple[int, int]
    """Of the batch script: code and signal."""

    @classmethod
    def just_submitted(cls, number: int, name: str) -> Self:
        """A job that Slurm took and has said nothing of yet."""
        return cls(number, name, State.PENDING, "None", "", datetime.now(UTC), None, None, 0, (0, 0))

    def forgotten(self) -> Self:
        """The same job, once nobody remembers how it ended."""
        return replace(self, state=State.UNKNOWN, reason="Slurm remembers it no more")

    @property
    def living(self) -> bool:
        """Whether something of it runs, waits, or is about to: whatever is not plainly an end."""
        return self.state not in ENDED

    @property
    def waiting(self) -> bool:
        """Whether it has yet to start, or to start again."""
        return self.state in WAITING

    @property
    def stuck(self) -> bool:
        """Whether it waits for what will hardly come: somebody should be told, with `infra.slurm.refusals.remedy`."""
        return self.waiting and FOR_EVER.search(self.reason) is not None


def read_minutes(limit: str) -> int | None:
    """A time limit as sinfo prints it (`1-00:00:00`, `30:00`), in whole minutes; None where it is none (`infinite`)."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if found is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + minutes


def read_scontrol(text: str) -> Job:
    """A line of `scontrol show job --oneliner`. Raises `ServiceError` quoting what was not understood."""
    found = SCONTROL.fullmatch(text.strip())
    if found is None:
        raise not_understood("scontrol show job", text)
    return make_job(found.groupdict(), text, int(found["restarts"]))


def read_sacct(text: str) -> Job | None:
    """The last start among the lines of `sacct --parsable2 --duplicates` with the fields `SACCT`; None where there are none.

    Raises `ServiceError` quoting what was not understood.
    """
    rows = []
    for line in text.splitlines():
        number, state, reason, exit_code, submitted, start, end, nodes, name = (line.split("|", 8) + [""] * 9)[:9]
        code = re.fullmatch(r"(\d+):(\d+)", exit_code)
        if not (number.isdecimal() and code):
            raise not_understood("sacct", line)
        rows.append({
            "number": number, "name": name, "state": state.partition(" ")[0], "reason": reason, "submitted": submitted,
            "start": start, "end": end, "nodes": nodes, "code": code[1], "signal": code[2],
        })  # fmt: skip
    starts = sorted((row for row in rows if rows[-1]["name"] == row["name"]), key=lambda row: row["submitted"])
    return make_job(starts[-1], text, len(starts) - 1) if starts else None


def make_job(words: dict[str, str], text: str, restarts: int) -> Job:
    """A job from its fields as Slurm spells them; `text` is what an error quotes."""
    state = State(words["state"]) if words["state"] in State.__members__ else State.UNKNOWN
    return Job(
        number=int(words["number"]), name=words["name"], state=state, reason=words["reason"] or "None",
        nodes="" if words["nodes"] in NO_NODES else words["nodes"],
        submitted=moment(words["submitted"], text), start=moment(words["start"], text),
        end=moment(words["end"], text) if state in ENDED else None,  # of a living job it is the time limit
        restarts=restarts, exit_code=(int(words["code"]), int(words["signal"])),
    )  # fmt: skip


def moment(words: str, text: str) -> datetime | None:
    """A time as Slurm prints it where TZ is UTC. Raises `ServiceError` where it is none."""
    if words in NO_TIME:
        return None
    try:
        return datetime.strptime(words, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise not_understood("a time", text) from None


def not_understood(what: str, text: str) -> ServiceError:
    """The error that quotes Slurm."""
    quoted = text.strip()[:400] or "nothing"
    return ServiceError(
        f"{what}: Slurm printed what Martlet does not understand: {quoted!r}. Compare `scontrol --version` with the releases "
        "that docs/how-to/slurm.md names."
    )
