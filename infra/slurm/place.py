"""Whose job it is in, its name, folder and request out: the same for whoever submits it and for whoever only asks."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.sites.slurm import Allocation, SlurmSite
from infra.slurm.script import Request

PASSED_ON = (
    "PATH", "MARTLET_HOME", "MARTLET_SITE", "MARTLET_RUN", "MARTLET_COMMIT", "MARTLET_FLOW_RUN",
    "DVC_NO_ANALYTICS", "DO_NOT_TRACK",
    "MLFLOW_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK",
)  # fmt: skip
"""The variables of the submitting process that a job gets: none that could hold a secret."""


@dataclass(frozen=True)
class Place:
    """Whose job it is, and where its files are."""

    stage: str
    run: str
    fingerprint: str
    scratch: Path
    workspace: Path
    cancelled: Path
    """A file that appears where a person asked for an end; without it, a signal means that only the watcher must go."""

    @property
    def name(self) -> str:
        """The job's name: at most one living job has it."""
        return f"martlet-{self.stage}-{self.fingerprint[:16]}"

    @property
    def folder(self) -> Path:
        """The job's folder, on the shared disk."""
        return self.scratch / "job"


@dataclass(frozen=True)
class Asked:
    """What a stage's ranks get, and from which nodes they keep away."""

    allocation: Allocation
    site: SlurmSite
    variables: Mapping[str, str]
    """The ranks' own."""
    exclude: Sequence[str]


def request_of(place: Place, asked: Asked, surroundings: Mapping[str, str]) -> Request:
    """`surroundings` are the submitting process's variables, of which a job gets those that are `PASSED_ON`."""
    own = {name: surroundings[name] for name in PASSED_ON if name in surroundings}
    return Request(
        name=place.name, comment=place.run, folder=place.folder, workspace=place.workspace, python=Path(sys.executable),
        allocation=asked.allocation, site=asked.site, environment={**own, **asked.variables}, exclude=asked.exclude,
    )  # fmt: skip
