"""Shows what stages say as artifacts on Prefect's page: a thread of its own sends the newest state of each artifact.

Nobody waits for Prefect here: while the server is away or hangs, newer states replace older ones, and the newest arrive when it
is back. What is still unsent when the run ends is given a few seconds, and is then lost: it is a view, not a result.
"""

import contextvars
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Literal
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.exceptions import PrefectHTTPStatusError

from components.ranks.progress import read_progress
from infra.journal import JOB_MARK

INTERVAL_SECONDS = 5.0
LONGEST_INTERVAL_SECONDS = 60.0
PART_OF_AGE = 0.01
"""The older a run, the rarer its updates: Prefect keeps an event for each update, and a training takes days."""
LAST_SECONDS = 10.0
"""How long the end of a run waits for what is still unsent."""


@dataclass(frozen=True)
class PageArtifact:
    """One artifact as it should appear on the page."""

    key: str
    kind: Literal["progress", "markdown"]
    data: float | str
    """Percent, or Markdown."""
    description: str
    flow_run: UUID | None
    task_run: UUID | None


Put = Callable[[PageArtifact, UUID | None], UUID]
"""Creates an artifact, or updates the one of that id; returns its id. May be slow, and may fail."""


@dataclass
class StagePage:
    """What is known of the stage that is running."""

    stage: str
    task_run: UUID | None
    text: str = ""
    percent: float | None = None
    job: list[str] = field(default_factory=list)
    """The states of its jobs, newest last."""
    folder: str = ""
    """The folder of its job's logs."""
    script: str = ""
    """The name of its job's script in that folder."""


class PrefectArtifacts:
    """The artifacts of one flow run."""

    def __init__(self, run: str, journal: Path, flow_run: UUID | None, put: Put, interval: float = INTERVAL_SECONDS) -> None:
        """`interval` is the shortest one between two rounds of sending, in seconds."""
        self.interval = interval
        self.run, self.journal, self.flow_run, self.put = run, journal, flow_run, put
        self.page = StagePage("", None)
        self._wanted: dict[str, PageArtifact] = {}
        self._ids: dict[str, UUID] = {}
        self._changed = threading.Condition()
        self._ends = False
        self._began = self._due = time.monotonic()
        context = contextvars.copy_context()  # Prefect's settings are in it
        self._thread = threading.Thread(target=context.run, args=(self._send_all,), name="artifacts", daemon=True)

    def __enter__(self) -> "PrefectArtifacts":
        """Starts the thread."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Gives what is unsent a last moment; a thread that still hangs then ends with the process."""
        with self._changed:
            self._ends = True
            self._changed.notify()
        self._thread.join(LAST_SECONDS)

    def begin(self, stage: str, task_run: UUID | None) -> None:
        """Opens a stage."""
        self.page = StagePage(stage, task_run)

    def line(self, text: str) -> None:
        """Notes what a line of the stage says about progress or about its job; ignores other lines."""
        page = self.page
        if progress := read_progress(text):
            page.percent = 100 * progress.done / max(progress.total, 1)
            page.text = f"{progress.done:,} of {progress.total:,}" + (f", {progress.text}" if progress.text else "")
            self._show_progress()
        elif text.startswith(JOB_MARK):
            said = json.loads(text[len(JOB_MARK) :])
            page.folder, page.script = said["folder"], said.get("script", "")  # a stage of an older commit does not say it
            page.job.append(said["words"])
            self._show_job()

    def end(self, outcome: str, seconds: float) -> None:
        """Closes the stage; a stage that reported no progress has nothing to show."""
        if self.page.percent is not None:
            self.page.percent, self.page.text = 100.0, f"{self.page.text}; {outcome} ({seconds:,.1f} s)"
            self._show_progress()

    def markdown(self, key: str, text: str, task_run: UUID | None) -> None:
        """Shows a page of Markdown."""
        self._want(PageArtifact(key_of(key), "markdown", text, self.run, self.flow_run, task_run))

    def _show_progress(self) -> None:
        """Shows the stage's progress bar."""
        page = self.page
        assert page.percent is not None
        words = ". ".join(part for part in (f"{page.stage} of {self.run}: {page.text}", self._mlflow()) if part)
        key = key_of(f"{self.run}-{page.stage}")
        self._want(PageArtifact(key, "progress", round(page.percent, 2), words, self.flow_run, page.task_run))

    def _show_job(self) -> None:
        """Shows the page of the stage's job: its state, and where its files are."""
        page, files, mlflow = self.page, self.page.folder, self._mlflow()
        lines = [
            f"# Job of `{page.stage}`, {self.run}", "", f"**{page.job[-1]}**", "",
            f"- logs: `{files}/logs/rank-*.log`; of the job itself: `{files}/batch.log`",
            f"- its script: `{files}/{page.script}`; every start and its end: `{files}/attempts.jsonl`",
            *([f"- {mlflow}"] if mlflow else []),
            *(["", "Before:", "", *(f"1. {words}" for words in page.job[:-1])] if page.job[1:] else []),
        ]  # fmt: skip
        self.markdown(f"{self.run}-{page.stage}-job", "\n".join(lines) + "\n", page.task_run)

    def _mlflow(self) -> str:
        """A link to the run's page in MLflow, if it has one."""
        path = self.journal / "mlflow_page"
        return f"[MLflow]({path.read_text(encoding='utf-8', errors='replace').strip()})" if path.exists() else ""

    def _want(self, artifact: PageArtifact) -> None:
        """Replaces an unsent older state of this artifact. Never waits for a request."""
        with self._changed:
            self._wanted[artifact.key] = artifact
            self._changed.notify()

    def _send_all(self) -> None:
        """Sends until the run has ended and nothing is unsent."""
        while wanted := self._next():
            for artifact in wanted:
                self._send(artifact)

    def _next(self) -> list[PageArtifact]:
        """Waits until there is something to send and it is time to; [] when the run has ended and nothing is unsent."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._ends)
            self._changed.wait_for(lambda: self._ends, max(self._due - time.monotonic(), 0))
            now = time.monotonic()
            self._due = now + min(max((now - self._began) * PART_OF_AGE, self.interval), LONGEST_INTERVAL_SECONDS)
            wanted, self._wanted = self._wanted, {}
        return list(wanted.values())

    def _send(self, artifact: PageArtifact) -> None:
        """Sends one artifact; if that fails, it stays to be sent, unless a newer state does, or the run has ended."""
        try:
            self._ids[artifact.key] = self.put(artifact, self._ids.get(artifact.key))
        except Exception:  # noqa: BLE001  (no failure of Prefect's may stop the run)
            with self._changed:
                if not self._ends:
                    self._wanted.setdefault(artifact.key, artifact)


def key_of(name: str) -> str:
    """An artifact's key as Prefect wants it: lower-case letters, digits and dashes."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


def put_artifact(artifact: PageArtifact, known: UUID | None) -> UUID:
    """Sends an artifact to the Prefect server; raises what its client raises. A removed artifact is created again."""
    with get_client(sync_client=True) as client:
        if known is not None:
            try:
                client.update_artifact(known, ArtifactUpdate(data=artifact.data, description=artifact.description))
                return known
            except PrefectHTTPStatusError as error:
                if error.response.status_code != HTTPStatus.NOT_FOUND:
                    raise
        made = client.create_artifact(ArtifactCreate(
            key=artifact.key, type=artifact.kind, data=artifact.data, description=artifact.description,
            flow_run_id=artifact.flow_run, task_run_id=artifact.task_run,
        ))  # fmt: skip
    assert isinstance(made.id, UUID)
    return made.id
