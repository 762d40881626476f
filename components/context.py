"""Builds the services that a stage's component may call, as the site and the settings describe them."""

from pathlib import Path

from components.base.ports import Context, Launcher
from infra.downloads.debian import DebianPackages
from infra.downloads.hub import HuggingFaceHub
from infra.downloads.objects import S3Objects
from infra.downloads.pypi import PyPIWheels
from infra.journal import LineJournal
from infra.local import LocalProcesses
from infra.scheduler.launcher import BatchLauncher
from infra.scheduler.stage_job import StageJob
from infra.scratch import scratch_of
from infra.settings import Settings
from infra.site_scheduler import scheduler_of
from infra.sites import load_site

JOURNAL = Path("journal")
"""The journal of the workspace, which is the current folder."""


def build_context(settings: Settings, stage: str, mark: str, candidates: tuple[Path, ...] = ()) -> Context:
    """A context whose launcher starts processes on this machine.

    `mark` is the stage's fingerprint; `candidates` are the context's `warm_start_candidates`.
    """
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


def batch_launcher(settings: Settings, stage: str, context: Context) -> Launcher | None:
    """The launcher that runs this stage's processes as a job; None if the site runs the stage on this machine."""
    scheduler = scheduler_of(settings)
    if scheduler is None or stage not in scheduler.site.stages:
        return None
    stage_job = StageJob(
        stage=stage, run=settings.run, fingerprint=context.fingerprint, scratch=context.scratch,
        workspace=Path.cwd(), cancelled=JOURNAL.absolute() / f"{stage}.cancelled",
    )
    return BatchLauncher(stage_job, scheduler)
