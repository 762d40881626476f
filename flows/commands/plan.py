"""`martlet plan`: what a run of a recipe on a site would do and need: identity, stages, memory, time, disk, jobs."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from components.base.component import Component
from components.base.model_summary import UNKNOWN_MODEL, ModelSummary
from components.base.planning import Plannable
from components.base.site import Site
from components.models.summary import read_model_summary
from components.params import STAGES, Params, component_of, preflight
from flows.commands.plan_jobs import job_rows
from flows.commands.runs import CONSOLE, asked
from flows.pipeline import Pipeline
from flows.workspace import Workspace
from infra.local import LocalProcesses
from infra.sites import load_cluster, load_site

LOG_WIDTH = 180
MODEL_FOLDERS = {"collect": "collect/model"}
"""Where a stage's model is, below `artifacts/`; for other stages, in the folder with the stage's name."""


def show_plan(recipe: str, values: Sequence[str], reference: str, on: Sequence[str], *, measure: bool) -> None:
    """Prints the run's identity, what each stage would do, and, for stages that can say it, what they would need."""
    _, workspace = asked(recipe, values, reference)
    site = load_site(workspace.settings.site, on)
    CONSOLE.print(f"run {workspace.run}, commit {workspace.commit[:12]}, workspace {workspace.path}", soft_wrap=True)
    CONSOLE.print(stages_table(workspace))
    summaries = summaries_before(workspace.params, workspace.path / "artifacts")
    cluster = load_cluster(workspace.settings.site, on)
    for stage, summary in summaries.items():
        component = component_of(workspace.params, stage)
        rows = component.forecast(summary, site) if isinstance(component, Plannable) else []
        if cluster is not None and stage in cluster.stages and not component.is_passthrough:
            hours = component.hours(summary, site) if isinstance(component, Plannable) else None
            rows += job_rows(cluster.stages[stage], cluster, hours)
        print_rows(stage, rows + (profiled(component, summary, site) if measure else []))
    for words in preflight(workspace.params):
        CONSOLE.print(f"would stop it: {words}", soft_wrap=True)


def stages_table(workspace: Workspace) -> Table:
    """What each stage would do."""
    table = Table("stage", "kind", "would")
    changed: set[str] = Pipeline(workspace).changed() if workspace.is_open else set(STAGES)
    for stage in STAGES:
        kind = getattr(workspace.params, stage).kind
        table.add_row(stage, kind, "run, or be restored from the cache" if stage in changed else "do nothing: it is done")
    return table


def summaries_before(params: Params, artifacts: Path) -> dict[str, ModelSummary]:
    """What is known of the model that each stage is given: from the files if a stage was run, otherwise from the recipe."""
    summary, known = UNKNOWN_MODEL, {}
    for stage in STAGES:
        known[stage] = summary
        found = read_model_summary(artifacts / MODEL_FOLDERS.get(stage, stage))
        summary = found or component_of(params, stage).model_summary(summary)
    return known


def print_rows(title: str, rows: list[tuple[str, str]]) -> None:
    """Prints a small table without lines; nothing if there are no rows."""
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, show_header=False, show_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=None if CONSOLE.is_terminal else LOG_WIDTH).print(f"\n[bold]{title}[/bold]", table)


def profiled(component: Component, summary: ModelSummary, site: Site) -> list[tuple[str, str]]:
    """What a few seconds of the component took on this machine; nothing if it has nothing to measure."""
    if not isinstance(component, Plannable):
        return []
    with tempfile.TemporaryDirectory(prefix="martlet-plan-") as folder:
        launcher = LocalProcesses(Path(folder) / "logs", site.threads_per_process)
        return component.profile(summary, site, launcher, Path(folder))
