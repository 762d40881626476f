"""The Prefect flow of the whole line: reproduces every stage of a request in the run's own workspace, and seals the run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from components.errors import MartletError
from components.params import STAGES
from components.ranks.progress import MARK
from components.records import read_record
from flows.artifacts import PrefectArtifacts, put_artifact
from flows.cancellation import is_cancelled
from flows.clone import find_clone
from flows.display import Display
from flows.pipeline import Listener, Pipeline, run_stage, stage_environment
from flows.remote.run_remote import seal_there, store_of, take_if_sealed
from flows.request import Request
from flows.results.first_record import keeping_first_record
from flows.results.outcome import StageResult
from flows.summary import Summary, summarise
from flows.workspace import Workspace, locked, open_workspace, plan_workspace, refuse_cluster, refuse_preflight
from infra.journal import JOB_MARK
from infra.remote.store import RemoteRefused, RemoteStore
from infra.scratch import discard, scratch_of
from infra.tracking.writer import tracked


class PretrainRun:
    """What the stages of one flow run share."""

    def __init__(
        self, workspace: Workspace, lock: int, display: Display, artifacts: PrefectArtifacts, store: RemoteStore | None
    ) -> None:
        self.workspace = workspace
        self.lock = lock
        self.display = display
        self.artifacts = artifacts
        self.store = store
        self.pipeline = Pipeline(workspace, store)
        self.unsent = list(STAGES) if store else []
        self.results: dict[str, StageResult] = {}
        self.started = time.monotonic()

    def fetch(self, stage: str) -> None:
        """Fetches the stage's results, if the remote has them; DVC then restores them. Raises `RemoteRefused`."""
        if self.pipeline.remote:
            self.pipeline.remote.fetch(stage)

    def send(self, stage: str) -> None:
        """Sends the stage's results to the remote, if there is one. Raises `RemoteRefused`."""
        if self.pipeline.remote and stage in self.unsent:
            self.pipeline.remote.send(stage)
            self.unsent.remove(stage)


def run_name() -> str:
    """The run's id, which is the join key everywhere; the recipe's name if the request does not describe a run."""
    request = Request.model_validate(runtime.flow_run.parameters["request"])
    try:
        settings, root = find_clone(Path.cwd())
        return plan_workspace(request, root, settings).run
    except MartletError:
        return str(request.recipe)  # the flow itself says what is wrong


@flow(name="pretrain", flow_run_name=run_name, validate_parameters=True)
def pretrain(request: Request) -> Summary:
    """Runs the line from source to release; the same request again resumes where it stopped, or does nothing."""
    with opened(request) as run:
        for stage in STAGES:
            reproduce.with_options(name=stage, task_run_name=stage)(run, stage)
        return finish(run)


@task(cache_policy=NO_CACHE, persist_result=False)
def reproduce(run: PretrainRun, stage: str) -> StageResult:
    """Has DVC reproduce one stage, unless nothing changed. Raises `StageFailed` with the stage's own message."""
    clock = time.monotonic()
    run.display.begin(stage)
    run.artifacts.begin(stage, UUID(runtime.task_run.id))
    run.pipeline.damage.mend(stage, lambda text: tell(run, stage, text))
    if run.pipeline.unchanged(stage):
        result = StageResult(outcome="unchanged", seconds=time.monotonic() - clock)
    else:
        environment = stage_environment(run.workspace, str(runtime.flow_run.id))
        run.fetch(stage)
        listener = Listener(lambda text: tell(run, stage, text), is_wanted)
        with keeping_first_record(run.pipeline.repo, stage):
            result = run_stage(run.workspace, stage, environment, run.lock, listener)
        try:
            run.send(stage)
        except RemoteRefused as refusal:  # the line goes on; what is missing there is sent before it is sealed
            get_run_logger().warning("%s", refusal)
            run.display.line(stage, str(refusal))
    run.results[stage] = result
    show_pages(run, stage)
    run.display.end(stage, result.outcome, result.seconds)
    run.artifacts.end(result.outcome, result.seconds)
    return result


def tell(run: PretrainRun, stage: str, text: str) -> None:
    """Shows a line of a stage in the terminal, on Prefect's page and, unless it is a sign of progress, in Prefect's log."""
    run.display.line(stage, text)
    run.artifacts.line(text)
    if not text.startswith((MARK, JOB_MARK)):
        get_run_logger().info("%s", text)


def is_wanted(interruption: BaseException) -> bool:
    """Whether a person asked for the end: Ctrl-C here, or a cancellation on Prefect's page; a shutdown is neither."""
    return isinstance(interruption, KeyboardInterrupt) or is_cancelled(UUID(str(runtime.flow_run.id)))


def show_pages(run: PretrainRun, stage: str) -> None:
    """Puts the Markdown pages of a stage's result on Prefect's page, whether it ran now or before."""
    for page in sorted((run.workspace.path / "artifacts" / stage).glob("*.md")):
        run.artifacts.markdown(f"{stage}-{page.stem}", page.read_text(encoding="utf-8"), UUID(runtime.task_run.id))


@contextmanager
def opened(request: Request) -> Iterator[PretrainRun]:
    """The run's workspace, locked, while one writer mirrors it in one MLflow run."""
    settings, root = find_clone(Path.cwd())
    workspace = plan_workspace(request, root, settings)
    refuse_preflight(workspace)
    flow_run = UUID(runtime.flow_run.id)
    with (
        locked(workspace) as lock, Display() as display,
        PrefectArtifacts(workspace.run, workspace.journal, flow_run, put_artifact) as artifacts,
    ):
        if store := store_of(workspace):
            take_if_sealed(workspace, store)
        open_workspace(workspace, request)
        run = PretrainRun(workspace, lock, display, artifacts, store)
        refuse_cluster(workspace, run.pipeline.changed)
        with tracked(workspace.path, workspace.run, str(runtime.flow_run.id)):
            yield run


def finish(run: PretrainRun) -> Summary:
    """Sends what the remote lacks, seals the run and returns its summary."""
    for stage in STAGES:
        run.send(stage)
    run.pipeline.close()
    summary = summarise(run.workspace, run.results, time.monotonic() - run.started, tag="")
    tag = seal_there(run.workspace, summary.markdown(), run.store)
    for stage in STAGES:  # a sealed result needs no checkpoint
        discard(scratch_of(run.workspace.settings, read_record(run.workspace.records / stage).fingerprint))
    summary = summary.model_copy(update={"tag": tag})
    run.artifacts.markdown("summary", summary.markdown(), None)
    return summary
