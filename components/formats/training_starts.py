"""starts.jsonl: the step at which each start of a training began.

Steps that a start computed beyond the step at which the next one began were computed in vain.
"""

import json
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

FILE = "starts.jsonl"


class Started(BaseModel):
    """One start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    """Updates in the checkpoint that it began with."""
    processes: int
    time: float
    """Seconds since 1970."""


def note_start(folder: Path, step: int, processes: int) -> None:
    """Adds a line that says that a training begins now."""
    line = Started(step=step, processes=processes, time=time.time()).model_dump_json()
    with (folder / FILE).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def read_starts(folder: Path) -> list[Started]:
    """All starts, oldest first; a line that a crash tore is left out. [] if nothing was noted."""
    path = folder / FILE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [Started.model_validate(json.loads(line)) for line in lines if line.endswith("}\n")]
