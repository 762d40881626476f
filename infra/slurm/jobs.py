"""Reads what Slurm prints about a job into a `Job`.

Only the text forms of scontrol and sacct are the same from Slurm 22.05 to 24.11; the JSON forms are not. Words that are not
understood are an error or `State.UNKNOWN`, never a guess.
"""

import re
from datetime import UTC, datetime
from enum import StrEnum

from components.errors import ServiceError
from infra.scheduler.jobs import ENDED, Job, Phase


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


PASSING = frozenset({State.NODE_FAIL, State.PREEMPTED, State.BOOT_FAIL})
"""Ends after which Slurm may put the job back into the queue."""
PHASES = {
    Phase.WAITING: {
        State.PENDING, State.REQUEUED, State.REQUEUE_FED, State.REQUEUE_HOLD, State.RESV_DEL_HOLD, State.SPECIAL_EXIT,
    },
    Phase.ENDING: {State.COMPLETING},
    Phase.UNKNOWN: {State.UNKNOWN},
    Phase.TIME_LIMIT: {State.TIMEOUT},
    Phase.INTERRUPTED: PASSING | {State.REVOKED},
    Phase.ENDED_FOR_GOOD: {State.CANCELLED, State.DEADLINE, State.OUT_OF_MEMORY},
    Phase.EXITED: {State.COMPLETED, State.FAILED},
}  # fmt: skip
"""Whatever is not listed runs, or is about to."""
PHASE_OF: dict[str, Phase] = {state: phase for phase, states in PHASES.items() for state in states}

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
"""Reasons to wait that will hardly pass: limits of the partition, or of an account or QoS for a single job.

Slurm takes a job beyond its partition's limits if EnforcePartLimits is NO, the default. PartitionNodeLimit can also mean
that nodes are down.
"""
TOO_FEW = "BadConstraints"
"""The reason of a job that waits because it keeps away from so many nodes that too few others are left."""


def read_minutes(limit: str) -> int | None:
    """A time limit as sinfo prints it (`1-00:00:00`, `30:00`), in whole minutes; None if there is none (`infinite`)."""
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
    """The last start among the lines of `sacct --parsable2 --duplicates` with the fields `SACCT`; None if there are none.

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
    phase, reason = PHASE_OF.get(state, Phase.RUNNING), words["reason"] or "None"
    return Job(
        number=int(words["number"]), name=words["name"], phase=phase, state=state, reason=reason,
        nodes="" if words["nodes"] in NO_NODES else words["nodes"],
        submitted=moment(words["submitted"], text), start=moment(words["start"], text),
        end=moment(words["end"], text) if phase in ENDED else None,  # of a living job it is the time limit
        restarts=restarts, exit_code=(int(words["code"]), int(words["signal"])),
        stuck=phase is Phase.WAITING and FOR_EVER.search(reason) is not None, lacks_nodes=reason == TOO_FEW,
    )  # fmt: skip


def moment(words: str, text: str) -> datetime | None:
    """A time as Slurm prints it if TZ is UTC; None if it has none. Raises `ServiceError` for anything else."""
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
