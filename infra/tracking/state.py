"""`journal/tracking.json`: which MLflow run shows this run, how much of it, and if not all, why. Imports no MLflow.

What was sent is told by the MLflow run's own tag, not by this file: a copied, cut or lost one costs nothing.
"""

import json
import re
from pathlib import Path
from typing import Any

from components.formats.files import write_json
from infra.tracking.address import Address
from infra.tracking.coverage import Coverage

NAME = "tracking.json"
OF_ANOTHER_MLFLOW = ("mlflow_run", "mlflow_page")
A_RUN = r"[A-Za-z0-9][\w\-]{0,255}"


class MirrorState:
    """What is known of the mirror, as it is written down."""

    def __init__(self, journal: Path, address: Address) -> None:
        self.path = journal / NAME
        self.uri = address.shown
        self.run_id = ""
        self.coverage = Coverage()
        self.skipped: dict[str, dict[str, Any]] = {}
        self.is_complete = False
        self.reason = ""

    @classmethod
    def begin(cls, journal: Path, address: Address) -> "MirrorState":
        """What the last start wrote, and nothing claimed of it; without the run if that was in another MLflow."""
        state, before = cls(journal, address), read_state(journal)
        if before.get("tracking_uri") == address.shown:
            state.run_id = known_run(before)
            skipped = before.get("skipped")
            state.skipped = skipped if isinstance(skipped, dict) else {}
        else:
            for name in OF_ANOTHER_MLFLOW:
                (journal / name).unlink(missing_ok=True)
        state.save()
        return state

    def follow(self, run_id: str, coverage: Coverage) -> None:
        """Notes the MLflow run, and how much it shows."""
        self.run_id, self.coverage, self.reason = run_id, coverage, ""
        self.save()

    def skip(self, what: str, words: str) -> None:
        """Counts what could not be shown, and keeps the words about the first of it."""
        noted = self.skipped.setdefault(what, {"count": 0, "first": words[:300]})
        noted["count"] += 1
        self.save()

    def fail(self, reason: str) -> None:
        """Notes why MLflow does not show all."""
        self.is_complete, self.reason = False, reason
        self.save()

    def complete(self) -> None:
        """Notes that MLflow shows all."""
        self.is_complete, self.reason = True, ""
        self.save()

    def save(self) -> None:
        """Writes it down."""
        write_json(self.path, {
            "tracking_uri": self.uri, "run_id": self.run_id, "complete": self.is_complete, "reason": self.reason,
            "offsets": {stage: end for stage, (end, _) in self.coverage.curves.items()},
            "shown": sorted(f"{stage}:{mark}" for stage, mark in self.coverage.files.items()), "skipped": self.skipped,
        })  # fmt: skip


def read_state(journal: Path) -> dict[str, Any]:
    """What `tracking.json` says; nothing if it is missing or was cut."""
    try:
        state = json.loads((journal / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def known_run(state: dict[str, Any]) -> str:
    """The MLflow run that a state names; empty if that is none."""
    run_id = state.get("run_id")
    return run_id if isinstance(run_id, str) and re.fullmatch(A_RUN, run_id) else ""
