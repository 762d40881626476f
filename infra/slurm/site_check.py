"""Asks a site's Slurm which stages' jobs it would refuse, before anything is computed for them."""

import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from infra.scheduler.errors import SchedulerUnreachable
from infra.sites.slurm import SlurmAllocation, SlurmSite
from infra.slurm.commands import Slurm
from infra.slurm.refusals import remedy
from infra.slurm.script import ScriptRequest, sbatch_text


def site_refusals(slurm: Slurm, site: SlurmSite, stages: Collection[str]) -> list[str]:
    """Why Slurm would not take the jobs of these stages, in its own words with the next step; [] if it may take them.

    Raises `ServiceError` if Slurm is not installed here, or finds no configuration. A Slurm that does not answer is not an
    obstacle: the launcher waits for it when there is a job.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="martlet-") as folder:
        for stage in (stage for stage in site.stages if stage in stages):
            script = Path(folder) / f"{stage}.sbatch"
            script.write_text(sbatch_text(trial(site, stage, Path(folder))), encoding="utf-8")
            try:
                words = slurm.objection(script, stage) or too_long(slurm, stage, site.stages[stage])
            except SchedulerUnreachable:
                break
            if words:
                found.append(f"{stage}: {words}")
    return found


def too_long(slurm: Slurm, stage: str, asked: SlurmAllocation) -> str:
    """Says if the walltime is above the partition's, which sbatch itself may not say; "" if it is not."""
    longest = slurm.longest_minutes(asked.partition)
    if longest is None or asked.walltime_minutes <= longest:
        return ""
    where = asked.queue or "the default partition"
    return f"{asked.walltime_minutes:,} minutes are above the {longest:,} of {where}. {remedy('time limit', stage)}"


def trial(site: SlurmSite, stage: str, folder: Path) -> ScriptRequest:
    """A job that asks for the same as the stage's job would."""
    return ScriptRequest(
        name=f"martlet-{stage}", comment="never submitted", folder=folder, workspace=folder, python=Path(sys.executable),
        allocation=site.stages[stage], site=site, environment={}, exclude=(),
    )
