"""Slurm as the scheduler of a site: its commands, with the batch script, the remedies and the checks for that site."""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

from infra.deploy.cluster import default_configuration
from infra.scheduler.stage_job import StageJob
from infra.settings import Settings
from infra.sites.slurm import SlurmSite
from infra.slurm.commands import Slurm
from infra.slurm.job_request import SlurmJobRequest
from infra.slurm.refusals import remedy
from infra.slurm.script import ScriptRequest, sbatch_text
from infra.slurm.site_check import site_refusals

TEST_SITE = "slurm-dev"


class SlurmScheduler(Slurm):
    """Satisfies `infra.scheduler.ports.Scheduler`; most of its methods are those of `Slurm`."""

    request_type = SlurmJobRequest
    script_name = "job.sbatch"

    def __init__(self, site: SlurmSite, configuration: Path | None = None) -> None:
        """`configuration` is as `Slurm` has it."""
        super().__init__(configuration)
        self.site = site

    @classmethod
    def of_site(cls, site: SlurmSite, settings: Settings) -> Self:
        """The cluster of `make cluster` if this is its site and SLURM_CONF names no other; otherwise this machine's."""
        is_test = settings.site == TEST_SITE and not os.environ.get("SLURM_CONF")
        return cls(site, default_configuration(settings.home) if is_test else None)

    def script(self, stage_job: StageJob, environment: Mapping[str, str], exclude: Sequence[str]) -> str:
        """The text for sbatch."""
        return sbatch_text(ScriptRequest(
            name=stage_job.name, comment=stage_job.run, folder=stage_job.folder, workspace=stage_job.workspace,
            python=Path(sys.executable), allocation=self.site.stages[stage_job.stage], site=self.site, environment=environment,
            exclude=exclude,
        ))  # fmt: skip

    def refusals(self, stages: Collection[str]) -> list[str]:
        """Why Slurm would not take the jobs of these stages; [] if it may take them, or does not answer."""
        return site_refusals(self, self.site, stages)

    def remedy(self, words: str, stage: str) -> str:
        """The key of the site to change for Slurm's words."""
        return remedy(words, stage)

    def cancel_command(self, number: int) -> str:
        """What a person types to end the job."""
        return f"scancel {number}"
