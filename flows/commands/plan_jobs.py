"""What the jobs of each stage would ask for and use on a site with a batch scheduler, and the exact script of one."""

import shlex
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import yaml

from components.base.component import Component
from components.errors import ParameterError
from components.formats.digests import digest_path
from components.params import STAGES, component_of
from components.records import Artifact, fingerprint
from flows.commands.runs import asked
from flows.pipeline import Pipeline, stage_environment
from flows.workspace import Workspace
from infra.scheduler.cluster_site import Allocation, ClusterSite
from infra.scheduler.stage_job import StageJob, job_environment
from infra.scratch import scratch_of
from infra.site_scheduler import scheduler_of
from infra.sites import CLUSTER_KEYS

UNKNOWN = "<fingerprint>"
"""Stands for what follows from inputs that do not exist yet."""

Rows = list[tuple[str, str]]


def job_rows(wanted: Allocation, site: ClusterSite, hours: float | None) -> Rows:
    """What a stage asks for, how many jobs that takes, one after another, and what it costs; `hours` is its time to compute."""
    return [("each job", asked_words(wanted)), *cost_rows(wanted, site, hours)]


def asked_words(wanted: Allocation) -> str:
    """What one job asks for, in words."""
    fewer = "" if wanted.minimum_nodes == wanted.nodes else f" (no fewer than {wanted.minimum_nodes:,})"
    gpus = f", {counted(wanted.gpus_per_node, 'GPU')} a node" if wanted.gpus_per_node else ""
    where = f", {wanted.queue}" if wanted.queue else ""
    return (
        f"{counted(wanted.nodes, 'node')}{fewer} × {counted(wanted.tasks_per_node, 'task')} × "
        f"{counted(wanted.cpus_per_task, 'core')}{gpus}{where}, at most {wanted.walltime_minutes / 60:,.3g} hours"
    )


def cost_rows(wanted: Allocation, site: ClusterSite, hours: float | None) -> Rows:
    """The cost of all jobs together if the hours are known; otherwise of one job at its time limit."""
    gpus, limit = wanted.nodes * wanted.gpus_per_node, wanted.walltime_minutes / 60
    if hours is None:
        return [("GPU-hours", f"{paid(site, gpus * limit)}, if a job uses all its time")] if gpus else []
    usable = limit - site.signal_seconds / 3600
    jobs = ceil(hours / usable)
    too_many = f"; would stop it: the site allows {site.attempts:,} ({site.key}.attempts)" if jobs > site.attempts else ""
    return [
        ("jobs in a row", f"{jobs:,}, for {hours:,.1f} hours: each computes for {usable:,.1f} and saves in the rest{too_many}"),
        *([("GPU-hours", f"{paid(site, gpus * hours)}, without the queue, restarts and lost steps")] if gpus else []),
    ]


def paid(site: ClusterSite, gpu_hours: float) -> str:
    """The hours, and the money if the site states a price."""
    if site.price_per_gpu_hour is None:
        return f"{gpu_hours:,.0f}"
    return f"{gpu_hours:,.0f} at {site.price_per_gpu_hour:,.2f} {site.currency}: " \
           f"{gpu_hours * site.price_per_gpu_hour:,.0f} {site.currency}"


def counted(number: int, noun: str) -> str:
    """`1 node`, `16 nodes`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def script_of(recipe: str, values: Sequence[str], reference: str, on: Sequence[str], stage: str) -> str:
    """The script that the scheduler would get for this stage. Raises `ParameterError` if it would not be a job."""
    _, workspace = asked(recipe, values, reference)
    component, settings = component_of(workspace.params, stage), workspace.settings
    scheduler = scheduler_of(settings, on)
    if scheduler is None or stage not in scheduler.site.stages or component.is_passthrough:
        jobs = [s for s in scheduler.site.stages if not component_of(workspace.params, s).is_passthrough] if scheduler else []
        none = f"It has no jobs: set MARTLET_SITE to a site with a {' or '.join(CLUSTER_KEYS)} section."
        there = f"Jobs are: {', '.join(jobs)}." if jobs else none
        raise ParameterError(f"{stage} is not a job on the site {settings.site}: it runs where the flow runs. {there}")
    mark = known_fingerprint(workspace, stage, component)
    stage_job = StageJob(
        stage=stage, run=workspace.run, fingerprint=mark, scratch=scratch_of(settings, mark),
        workspace=workspace.path.absolute(), cancelled=workspace.journal / f"{stage}.cancelled",
    )
    own = component.rank_variables if component.distributed else {}
    return scheduler.script(stage_job, job_environment(own, stage_environment(workspace, "<flow run>")), exclude=())


def known_fingerprint(workspace: Workspace, stage: str, component: Component) -> str:
    """The stage's fingerprint if all stages before it are done; otherwise `UNKNOWN`."""
    before = STAGES[: STAGES.index(stage)]
    if not workspace.is_open or Pipeline(workspace).changed() & set(before):
        return UNKNOWN
    inputs = {key: path for key, path in paths_of(workspace.path, stage).items() if key not in ("output", "record")}
    return fingerprint(
        component, {key: Artifact(path=path, sha256=digest_path(workspace.path / path)) for key, path in inputs.items()}
    )


def paths_of(folder: Path, stage: str) -> dict[str, str]:
    """The `name=path` arguments of a stage's command."""
    stages = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    pairs = [word.partition("=") for word in shlex.split(stages[stage]["cmd"]) if "=" in word]
    return {name: path for name, _, path in pairs}
