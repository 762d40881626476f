"""What the `martlet` command does with runs: start one, list them, show their parameters and summaries."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from components.errors import ParameterError
from components.params import STAGES, explain
from components.recipes import EXPERIMENT
from flows.clone import enter_clone
from flows.request import Recipe, Request, render
from flows.summary import Summary, summarise
from flows.workspace import MARKER, Workspace, plan_workspace, refuse_preflight, sealed_as
from infra import git

CONSOLE = Console(highlight=False)


def run_line(recipe: str, values: Sequence[str], reference: str) -> None:
    """Runs the line in this process and prints the run's summary. If everything is done already, starts nothing."""
    request, workspace = asked(recipe, values, reference)
    clock = time.monotonic()
    refuse_preflight(workspace)
    if done := finished(workspace, clock):
        from infra.tracking.writer import is_complete, tracked

        if not is_complete(workspace.path):
            with tracked(workspace.path, workspace.run, flow_run=""):
                pass  # MLflow was away when the run ended; it gets the rest now
        print_summary(done)
        return
    from flows.runner import run_flow

    print_summary(run_flow(request))


def asked(recipe: str, values: Sequence[str], reference: str) -> tuple[Request, Workspace]:
    """The request and its workspace, both valid. Raises `ParameterError` naming the key."""
    settings, root = enter_clone()
    name = Path(recipe).stem
    if name not in set(Recipe):
        there = ", ".join(recipe for recipe in Recipe if recipe != EXPERIMENT)
        raise ParameterError(f"there is no recipe {recipe!r}. There are: {there}; and {EXPERIMENT}, for params.yaml.")
    commit = git.resolve(root, reference) if reference else git.snapshot(root)
    try:
        request = Request.model_validate({"recipe": name, "reference": commit, "values": list(values)})
    except ValidationError as error:
        raise ParameterError(explain(error, "--set", {"values": list(values)})) from None
    return request, plan_workspace(request, root, settings)


def whole_parameters(recipe: str, values: Sequence[str], reference: str) -> str:
    """The `params.yaml` that the run's workspace would hold."""
    _, workspace = asked(recipe, values, reference)
    return render(workspace.params)


def finished(workspace: Workspace, clock: float) -> Summary | None:
    """The summary of a run that is sealed, complete and sent; None if there is something to do."""
    from flows.pipeline import Pipeline
    from flows.remote.run_remote import is_sent
    from flows.results.outcome import StageResult

    tag = sealed_as(workspace)
    if not tag or not is_sent(workspace, tag):
        return None
    pipeline = Pipeline(workspace)
    if any(map(pipeline.damage.is_in, STAGES)) or pipeline.changed():
        return None  # the flow mends what is damaged
    results = {stage: StageResult(outcome="unchanged") for stage in STAGES}
    return summarise(workspace, results, time.monotonic() - clock, tag)


def show_status() -> None:
    """Prints the runs of this clone with their stages."""
    settings, root = enter_clone()
    folders = [p for p in settings.runs.glob("*") if (p / MARKER).exists()]
    if not folders:
        CONSOLE.print("no runs yet; start one with: martlet run")
        return
    table = Table("run", "stages done", "sealed as", "workspace")
    sealed = git.tags_at(root, "run/*")
    for folder in sorted(folders, key=lambda p: p.stat().st_mtime, reverse=True):
        done = sum((folder / "artifacts" / "records" / stage / "record.json").exists() for stage in STAGES)
        tags = sorted(name for name in sealed if name.split("/")[1].split(".")[0] == folder.name)
        table.add_row(folder.name, f"{done} of {len(STAGES)}", ", ".join(tags) or "—", os.path.relpath(folder))
    CONSOLE.print(table)


def print_summary(summary: Summary) -> None:
    """Prints the run's table, and where its release is."""
    table = Table("stage", "outcome", "seconds", "numbers")
    for row in summary.rows:
        table.add_row(row.stage, row.outcome, f"{row.seconds:.1f}", row.headline)
    console = Console(highlight=False, width=None if CONSOLE.is_terminal else 160)
    console.print(f"\n{summary.run}", table)
    if summary.usage is not None:
        console.print(f"jobs: {summary.usage.words()}", soft_wrap=True)
    verb = "nothing to do" if not summary.ran else f"{summary.ran} of {len(summary.rows)} stages ran"
    console.print(f"{verb}, {summary.seconds:.1f} s; sealed as {summary.tag}", soft_wrap=True)
    console.print(f"release: {summary.release}", soft_wrap=True)


