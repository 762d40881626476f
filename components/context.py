"""Settings and a stage's name in, the services that its component may call out: as this site and these settings have them."""

from pathlib import Path
from typing import TYPE_CHECKING

from components.base.ports import Context
from infra.debian import DebianPackages
from infra.hub import HuggingFaceHub
from infra.journal import LineJournal
from infra.local import LocalProcesses
from infra.objects import S3Objects
from infra.pypi import PyPIWheels
from infra.scratch import scratch_of
from infra.settings import Settings
from infra.sites import load_site, load_slurm

if TYPE_CHECKING:
    from infra.slurm.launcher import SlurmJobs

JOURNAL = Path("journal")
"""Of the workspace, which is the current folder."""


def build_context(settings: Settings, stage: str, mark: str, candidates: tuple[Path, ...] = ()) -> Context:
    """With processes of this machine; `mark` is the stage's fingerprint, `candidates` are as `Context` has them."""
    site = load_site(settings.site)
    return Context(
        site=site,
        scratch=scratch_of(settings, mark),
        fingerprint=mark,
        warm_start_candidates=candidates,
        journal=LineJournal(JOURNAL.absolute() / f"{stage}.metrics.jsonl"),
        launcher=LocalProcesses(JOURNAL.absolute() / f"{stage}.logs", site.threads_per_process),
        debian=DebianPackages(settings.downloads / "debian"),
        pypi=PyPIWheels(settings.downloads / "pypi"),
        objects=S3Objects(settings.downloads / "objects"),
        hub=HuggingFaceHub(settings.downloads / "hub"),
    )


def jobs_of(settings: Settings, stage: str, context: Context) -> "SlurmJobs | None":
    """What runs this stage's processes as a job; None where the site runs it on this machine."""
    slurm = load_slurm(settings.site)
    if slurm is None or stage not in slurm.stages:
        return None
    from infra.slurm.here import slurm_of
    from infra.slurm.launcher import SlurmJobs
    from infra.slurm.place import Place

    place = Place(
        stage=stage, run=settings.run, fingerprint=context.fingerprint, scratch=context.scratch,
        workspace=Path.cwd(), cancelled=JOURNAL.absolute() / f"{stage}.cancelled",
    )
    return SlurmJobs(place, slurm.stages[stage], slurm, slurm_of(settings))

