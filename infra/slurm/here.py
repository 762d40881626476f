"""Settings in, the commands of the site's cluster out; and what it would refuse, before anything is computed for it."""

import os
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from infra.settings import Settings
from infra.sites import load_slurm
from infra.sites.slurm import Allocation, SlurmSite
from infra.slurm.commands import Slurm, SlurmUnreachable
from infra.slurm.refusals import remedy
from infra.slurm.script import Request, sbatch_text

TEST_SITE = "slurm-dev"


def slurm_of(settings: Settings) -> Slurm:
    """The commands; those of `make cluster`'s Slurm where the site asks for that one and SLURM_CONF names no other."""
    if settings.site != TEST_SITE or os.environ.get("SLURM_CONF"):
        return Slurm(None)
    from infra.deploy.cluster import default_configuration

    return Slurm(default_configuration(settings.home))


def refusals(settings: Settings, stages: Collection[str]) -> list[str]:
    """Why the site's Slurm would not take the jobs of these stages, in its own words with the next step; [] where it may.

    Raises `ServiceError` where Slurm is not installed here, or finds no configuration. A Slurm that does not answer is no
    obstacle: it is waited for when there is a job.
    """
    site = load_slurm(settings.site)
    if site is None:
        return []
    slurm, found = slurm_of(settings), []
    with tempfile.TemporaryDirectory(prefix="martlet-") as folder:
        for stage in (stage for stage in site.stages if stage in stages):
            script = Path(folder) / f"{stage}.sbatch"
            script.write_text(sbatch_text(trial(site, stage, Path(folder))), encoding="utf-8")
            try:
                words = slurm.objection(script, stage) or too_long(slurm, stage, site.stages[stage])
            except SlurmUnreachable:
                break
            if words:
                found.append(f"{stage}: {words}")
    return found


def too_long(slurm: Slurm, stage: str, asked: Allocation) -> str:
    """That the walltime is above the partition's, which sbatch itself may not say; "" where it is not."""
    longest = slurm.longest_minutes(asked.partition)
    if longest is None or asked.walltime_minutes <= longest:
        return ""
    where = f"partition {asked.partition}" if asked.partition else "the default partition"
    return f"{asked.walltime_minutes:,} minutes are above the {longest:,} of {where}. {remedy('time limit', stage)}"


def trial(site: SlurmSite, stage: str, folder: Path) -> Request:
    """A job that asks for what the stage's would."""
    return Request(
        name=f"martlet-{stage}", comment="never submitted", folder=folder, workspace=folder, python=Path(sys.executable),
        allocation=site.stages[stage], site=site, environment={}, exclude=(),
    )
