"""Steps in, JSON lines out: each step once, however often training was interrupted."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

Line = dict[str, Any]

DETERMINISTIC = ("step", "loss", "learning_rate", "gradient_norm")
"""What repeats bit for bit when a step is computed again; times do not."""

HELDOUT = "heldout_bits_per_byte"
"""By language, after the update of the line: with every checkpoint, and at the end."""
HELDOUT_BEFORE = "heldout_bits_per_byte_before"
"""By language, before the first update: in the first line alone."""
OCCASIONAL = ("router_loss", HELDOUT, HELDOUT_BEFORE)
"""Repeats too, in the lines that have it."""


class MetricsFile:
    """Appends a line a step; a step that an earlier attempt wrote already is compared instead."""

    def __init__(self, path: Path) -> None:
        """Drops a last line that was torn by a crash."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        whole = whole_lines(path)
        os.truncate(path, sum(len(line) for line in whole))
        self.path = path
        self._written: dict[int, Line] = {line["step"]: line for line in map(json.loads, whole)}

    def add(self, line: Line) -> str | None:
        """Writes the step's line; or returns a warning where the step was written before, with other numbers."""
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
    """The fields of a line that a repetition reproduces."""
    return {key: line[key] for key in (*DETERMINISTIC, *OCCASIONAL) if key in line}


def write_lines(path: Path, lines: Iterable[Line]) -> None:
    """Writes whole lines; floats survive the round trip exactly."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def read_lines(path: Path) -> list[Line]:
    """Reads what `write_lines` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def mean_bits(lines: Sequence[Line]) -> float | None:
    """Bits per byte of held-out text after the last line's update, the mean over its languages; None: not measured."""
    found = lines[-1].get(HELDOUT) if lines else None
    return fmean(found.values()) if found else None
