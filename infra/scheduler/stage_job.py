"""The job of a stage: its name, its folder and its environment, the same for submitting it and for asking about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PASSED_ON = (
    "PATH", "MARTLET_HOME", "MARTLET_SITE", "MARTLET_RUN", "MARTLET_COMMIT", "MARTLET_FLOW_RUN",
    "DVC_NO_ANALYTICS", "DO_NOT_TRACK",
    "MLFLOW_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK",
)  # fmt: skip
"""The variables of the submitting process that a job gets: none that could hold a secret."""


@dataclass(frozen=True)
class StageJob:
    """Whose job it is, and where its files are."""

    stage: str
    run: str
    fingerprint: str
    scratch: Path
    workspace: Path
    cancelled: Path
    """A file that appears if a person asked for an end; without it, a signal means that only the watching process must end."""

    @property
    def name(self) -> str:
        """The job's name: at most one living job has it."""
        return f"martlet-{self.stage}-{self.fingerprint[:16]}"

    @property
    def folder(self) -> Path:
        """The job's folder, on the shared disk."""
        return self.scratch / "job"


def job_environment(own: Mapping[str, str], submitter: Mapping[str, str]) -> dict[str, str]:
    """The variables of the submitting process that are `PASSED_ON`, then the ranks' own."""
    return {**{name: submitter[name] for name in PASSED_ON if name in submitter}, **own}
