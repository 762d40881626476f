"""Runs `BatchLauncher` as a JSON file says, in a process of its own that a test may kill at any moment.

`python -m tests.support.ranks.slurm_driver FILE` does what a stage's door does: it holds the scratch folder, submits nothing
if the ranks finished already, and ends with exit code 1 and one message if there is an error.
"""

import sys
from pathlib import Path

from components.base.fields import Fields
from components.errors import MartletError
from infra.scheduler.launcher import BatchLauncher
from infra.scheduler.records import is_finished
from infra.scheduler.stage_job import StageJob
from infra.scheduler.watch import say
from infra.scratch import held
from infra.sites.slurm import SlurmSite
from infra.slurm.scheduler import SlurmScheduler


class Driven(Fields):
    """One stage's ranks."""

    fingerprint: str
    scratch: Path
    workspace: Path
    cancelled: Path
    module: str
    arguments: list[str]
    outcome: Path | None
    site: SlurmSite
    configuration: Path


def launcher_of(driven: Driven) -> BatchLauncher:
    """What a stage's door would use."""
    stage_job = StageJob(
        stage="train", run="run-1", fingerprint=driven.fingerprint, scratch=driven.scratch, workspace=driven.workspace,
        cancelled=driven.cancelled,
    )
    return BatchLauncher(stage_job, SlurmScheduler(driven.site, driven.configuration))


def main(path: Path) -> None:
    """Runs the ranks to their end."""
    driven = Driven.model_validate_json(path.read_bytes())
    with held(driven.scratch, say):
        if not is_finished(driven.outcome):
            launcher_of(driven).run(
                driven.module, driven.arguments, processes=driven.site.stages["train"].tasks, environment={},
                outcome=driven.outcome,
            )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except MartletError as error:
        sys.exit(f"error: {error}")
