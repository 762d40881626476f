"""How far MLflow shows a run: kept as a tag of the MLflow run itself, so that it is lost, restored or deleted with its points.

Byte offsets say how far each curve was sent; the digest of the bytes in front of an offset says of which file. Whoever compares
the tag with what lies on disk knows whether all of it was sent. Imports no MLflow.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

TAG = "martlet.sent"
TAIL_BYTES = 4096
SUFFIX = ".metrics.jsonl"


@dataclass(frozen=True)
class Coverage:
    """What of a run was sent."""

    curves: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By stage: bytes of the metrics file, and the digest of the last of them."""
    records: dict[str, str] = field(default_factory=dict)
    """By stage: the output whose numbers were sent."""
    files: dict[str, str] = field(default_factory=dict)
    """By stage: the output whose record and tables were sent."""
    status: str = ""
    """The run's last status; empty while something is being sent."""

    def text(self) -> str:
        """The tag's value."""
        return json.dumps(vars(self))

    def covers(self, other: "Coverage") -> bool:
        """Whether all that `other` holds was sent."""
        return (
            other.curves.items() <= self.curves.items()
            and other.records.items() <= self.records.items()
            and other.files.items() <= self.files.items()
        )

    def with_curve(self, stage: str, path: Path, end: int) -> "Coverage":
        """The same after a stage's file was sent up to `end`."""
        return replace(self, curves={**self.curves, stage: (end, tail(path, end))})

    def start(self, stage: str, path: Path) -> int:
        """Where sending goes on in a stage's file: 0 if what was sent are not this file's first bytes."""
        end, digest = self.curves.get(stage, (0, ""))
        return end if end <= path.stat().st_size and tail(path, end) == digest else 0


def read_coverage(text: str) -> Coverage:
    """What a tag says; nothing was sent if it cannot be read."""
    try:
        value = json.loads(text)
        curves = {str(stage): (int(end), str(digest)) for stage, (end, digest) in value["curves"].items()}
        return Coverage(curves, dict(value["records"]), dict(value["files"]), str(value["status"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Coverage()


def on_disk(workspace: Path) -> Coverage:
    """What a run has on disk, and MLflow is to show."""
    coverage = Coverage()
    for stage, path in curve_files(workspace).items():
        if end := whole_bytes(path):
            coverage = coverage.with_curve(stage, path, end)
    records = {stage: output_of(record) for stage, record in read_records(workspace).items()}
    return replace(coverage, records=records, files=records)


def curve_files(workspace: Path) -> dict[str, Path]:
    """The metrics file of each stage: the journal's, or the record's if the result was restored from the cache."""
    restored = {path.parent.name: path for path in sorted(workspace.glob("artifacts/records/*/metrics.jsonl"))}
    live = {path.name.removesuffix(SUFFIX): path for path in sorted((workspace / "journal").glob(f"*{SUFFIX}"))}
    return restored | live


def read_records(workspace: Path) -> dict[str, dict[str, Any]]:
    """By stage: its record, of those that can be read and name their output."""
    found = {}
    for path in sorted(workspace.glob("artifacts/records/*/record.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            stage, _, _ = str(record["stage"]), output_of(record), record["report"]
        except (OSError, ValueError, TypeError, KeyError):  # it says nothing that MLflow could show
            continue
        found[stage] = record
    return found


def output_of(record: dict[str, Any]) -> str:
    """What tells a stage's output from another: the beginning of its digest."""
    return str(record["output"]["sha256"])[:16]


def whole_bytes(path: Path) -> int:
    """How many bytes of a file lie in lines that have an end."""
    with path.open("rb") as stream:
        position = stream.seek(0, 2)
        while position:
            start = max(position - TAIL_BYTES, 0)
            stream.seek(start)
            if (end := stream.read(position - start).rfind(b"\n")) >= 0:
                return start + end + 1
            position = start
    return 0


def tail(path: Path, end: int) -> str:
    """The digest of the bytes in front of `end`: lines carry their time, so no other file has the same there."""
    with path.open("rb") as stream:
        stream.seek(max(end - TAIL_BYTES, 0))
        return hashlib.sha256(stream.read(min(end, TAIL_BYTES))).hexdigest()[:16]
