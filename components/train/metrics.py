"""The metrics of a training as JSON lines: each step has one line, however often training was interrupted."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

Line = dict[str, Any]

DETERMINISTIC = ("step", "loss", "learning_rate", "gradient_norm")
"""The fields that are equal bit for bit when a step is computed again; times are not."""

HELDOUT = "heldout_bits_per_byte"
"""By language, after the line's update: in lines that a checkpoint follows, and in the last one."""
HELDOUT_BEFORE = "heldout_bits_per_byte_before"
"""By language, before the first update: only in the first line."""
OCCASIONAL = ("router_loss", HELDOUT, HELDOUT_BEFORE)
"""Fields that are equal as well, in the lines that have them."""


class MetricsFile:
    """Appends one line for each step. A step that an earlier attempt has written is compared instead."""

    def __init__(self, path: Path) -> None:
        """Drops the last line if a crash tore it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        whole = whole_lines(path)
        os.truncate(path, sum(len(line) for line in whole))
        self.path = path
        self._written: dict[int, Line] = {line["step"]: line for line in map(json.loads, whole)}

    def add(self, line: Line) -> str | None:
        """Writes the step's line, or returns a warning if the step was written before with other numbers."""
        before = self._written.get(line["step"])
        if before is None:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
            return None
        facts = deterministic(line)
        changed = [f"{key} {before.get(key)} → {now}" for key, now in facts.items() if before.get(key) != now]
        if not changed:
            return None
        return f"warning: step {line['step']} came out differently when it was computed again: {', '.join(changed)}"


def whole_lines(path: Path) -> list[bytes]:
    """The file's lines that end with a newline."""
    lines = path.read_bytes().splitlines(keepends=True)
    return lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines


def deterministic(line: Line) -> Line:
    """The fields of a line that are equal when the step is computed again."""
    return {key: line[key] for key in (*DETERMINISTIC, *OCCASIONAL) if key in line}


def write_lines(path: Path, lines: Iterable[Line]) -> None:
    """Writes whole lines; floats survive the round trip exactly."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def read_lines(path: Path) -> list[Line]:
    """Reads what `write_lines` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def mean_bits(lines: Sequence[Line]) -> float | None:
    """Bits per byte of held-out text after the last line's update, the mean over its languages; None if not measured."""
    found = lines[-1].get(HELDOUT) if lines else None
    return fmean(found.values()) if found else None
