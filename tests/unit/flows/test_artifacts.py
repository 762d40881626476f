"""Prefect's page shows the newest of what stages say, and no stage waits for Prefect, whether it fails or hangs."""

import io
import json
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from rich.console import Console

from components.ranks.progress import MARK
from flows.artifacts import PageArtifact, PrefectArtifacts, key_of
from flows.display import Display
from infra.journal import JOB_MARK
from infra.scheduler.jobs import Job, Phase
from infra.scheduler.stage_job import StageJob
from infra.scheduler.watch import Watcher
from infra.sites import load_cluster
from infra.slurm.jobs import PHASE_OF, State
from infra.slurm.scheduler import SlurmScheduler


class Page:
    """Stands where Prefect does: keeps what it is given, unless it was told to hang or to fail."""

    def __init__(self) -> None:
        self.made: dict[UUID, list[PageArtifact]] = {}
        self.answers = threading.Event()
        self.answers.set()
        self.fails = False
        self.asked = 0

    def put(self, artifact: PageArtifact, known: UUID | None) -> UUID:
        self.asked += 1
        self.answers.wait()
        if self.fails:
            raise ConnectionError("nobody answers here")
        name = known or uuid4()
        self.made.setdefault(name, []).append(artifact)
        return name

    def newest(self, key: str) -> PageArtifact | None:
        found = [versions[-1] for versions in self.made.values() if versions[-1].key == key]
        return found[-1] if found else None


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def artifacts(page: Page, tmp_path: Path) -> PrefectArtifacts:
    artifacts = PrefectArtifacts("tiny-1a2b3c4d", tmp_path, uuid4(), page.put, interval=0.01)
    artifacts.begin("train_base", uuid4())
    return artifacts


def progress(done: int, total: int = 100) -> str:
    return MARK + json.dumps({"done": done, "total": total, "text": f"loss {9 - done / 20:.2f}"})


def job(words: str) -> str:
    return JOB_MARK + json.dumps({"words": words, "folder": "/scratch/job", "script": "job.sbatch"})


def watcher(folder: Path) -> Watcher:
    stage_job = StageJob("train", "tiny", fingerprint="1", scratch=folder, workspace=folder, cancelled=folder / "x")
    return Watcher(stage_job, SlurmScheduler(load_cluster("slurm-dev")))


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.002)


def test_a_stages_progress_is_one_artifact_which_ends_at_a_hundred_percent(artifacts: PrefectArtifacts, page: Page) -> None:
    with artifacts:
        for done in range(1, 51):
            artifacts.line(progress(done))
            artifacts.line("a plain line says nothing of progress")
        artifacts.line(progress(50))
        wait_until(lambda: (shown := page.newest("tiny-1a2b3c4d-train-base")) is not None and shown.data == 50.0)
        artifacts.end("ran", 1.5)
    (versions,) = page.made.values()
    assert versions[-1].data == 100.0
    assert versions[-1].description == "train_base of tiny-1a2b3c4d: 50 of 100, loss 6.50; ran (1.5 s)"
    assert (versions[-1].kind, versions[-1].flow_run, versions[-1].task_run) == (
        "progress", artifacts.flow_run, artifacts.page.task_run
    )  # fmt: skip


def test_a_stage_that_says_nothing_has_no_bar(artifacts: PrefectArtifacts, page: Page) -> None:
    with artifacts:
        artifacts.end("unchanged", 0.1)
    assert not page.made


def test_a_job_has_a_page_with_its_state_its_past_its_logs_and_the_mlflow_run(
    artifacts: PrefectArtifacts, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "mlflow_page").write_text("http://127.0.0.1:5000/#/experiments/1/runs/2")
    with artifacts:
        artifacts.line(job("job 12 waits (Resources)"))
        artifacts.line(job("job 12 is running on node[1-2]"))
    shown = page.newest("tiny-1a2b3c4d-train-base-job")
    assert shown is not None
    text = str(shown.data)
    assert "**job 12 is running on node[1-2]**" in text
    assert "1. job 12 waits (Resources)" in text
    assert "/scratch/job/logs/rank-*.log" in text
    assert "its script: `/scratch/job/job.sbatch`" in text
    assert "[MLflow](http://127.0.0.1:5000/#/experiments/1/runs/2)" in text


def test_a_page_that_hangs_keeps_no_line_waiting_and_is_shown_the_newest_when_it_answers(
    artifacts: PrefectArtifacts, page: Page
) -> None:
    page.answers.clear()
    with artifacts:
        artifacts.line(progress(1))
        wait_until(lambda: page.asked == 1)
        for done in range(1, 1001):
            artifacts.line(progress(done, 1000))
        assert page.asked == 1  # and hangs still: what waited for it would be here for ever
        page.answers.set()
        wait_until(lambda: (shown := page.newest("tiny-1a2b3c4d-train-base")) is not None and shown.data == 100.0)
    (versions,) = page.made.values()
    assert [version.data for version in versions] == [1.0, 100.0]


def test_a_page_that_is_away_is_shown_the_newest_of_everything_when_it_is_back(artifacts: PrefectArtifacts, page: Page) -> None:
    page.fails = True
    with artifacts:
        artifacts.markdown("summary", "# old", None)
        for done in (10, 20):
            artifacts.line(progress(done))
            asked = page.asked
            wait_until(lambda before=asked: page.asked > before + 2)  # type: ignore[misc]
        artifacts.markdown("summary", "# new", None)
        page.fails = False
        wait_until(lambda: len(page.made) == 2)
    assert sorted(str(versions[0].data) for versions in page.made.values()) == ["# new", "20.0"]


def test_an_end_is_not_held_up_by_a_page_that_is_away_for_good(artifacts: PrefectArtifacts, page: Page) -> None:
    page.fails = True
    began = time.monotonic()
    with artifacts:
        artifacts.line(progress(10))
        artifacts.line(job("job 12 waits (Priority)"))
    assert time.monotonic() - began < 5  # seconds; two attempts at most
    assert not page.made


def test_what_was_said_last_is_sent_though_a_round_was_just_made(page: Page, tmp_path: Path) -> None:
    with PrefectArtifacts("r", tmp_path, None, page.put, interval=60) as artifacts:
        artifacts.begin("train", None)
        artifacts.line(progress(1))
        wait_until(lambda: bool(page.made))
        artifacts.line(progress(2))
        artifacts.markdown("summary", "# done", None)
    assert {str(versions[-1].data) for versions in page.made.values()} == {"2.0", "# done"}


def test_what_slurm_says_of_a_job_is_a_plain_line_for_people_and_a_marked_one_for_the_page(
    artifacts: PrefectArtifacts, page: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watcher(tmp_path).show(Job.just_submitted(12, "martlet-train-1"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "job 12 waits (None)"
    display = Display()
    display.console = Console(file=io.StringIO(), width=200)
    with artifacts:
        for line in lines:
            display.line("train_base", line)
            artifacts.line(line)
    assert isinstance(display.console.file, io.StringIO)
    assert display.console.file.getvalue() == "train_base │ job 12 waits (None)\n"
    shown = page.newest("tiny-1a2b3c4d-train-base-job")
    assert shown is not None
    assert f"**job 12 waits (None)**\n\n- logs: `{tmp_path}/job/logs/rank-*.log`" in str(shown.data)


@pytest.mark.parametrize(("state", "restarts", "words"), [
    (State.COMPLETED, 0, "job 12 ended as COMPLETED on node[1-2]"),
    (State.TIMEOUT, 1, "job 12 ended as TIMEOUT on node[1-2], after 1 restart"),
    (State.UNKNOWN, 0, "job 12 is in a state that is not known (Slurm remembers it no more)"),
])  # fmt: skip
def test_a_jobs_page_does_not_say_that_it_runs_once_it_ended(
    artifacts: PrefectArtifacts, page: Page, tmp_path: Path, state: State, restarts: int, words: str
) -> None:
    running = replace(Job.just_submitted(12, "martlet-train-1"), state=State.RUNNING, phase=Phase.RUNNING, nodes="node[1-2]")
    known = state is not State.UNKNOWN
    ended = replace(running, state=state, phase=PHASE_OF[state], restarts=restarts) if known else running.forgotten("Slurm")
    told = io.StringIO()
    with artifacts, redirect_stdout(told):
        ours = watcher(tmp_path)
        ours.show(running)
        ours.ended(ended)
        for line in told.getvalue().splitlines():
            artifacts.line(line)
    shown = page.newest("tiny-1a2b3c4d-train-base-job")
    assert shown is not None
    assert f"**{words}**" in str(shown.data)
    assert "1. job 12 is running on node[1-2]" in str(shown.data)


def test_keys_are_what_prefect_takes_as_one() -> None:
    assert key_of("Swallow-MS_7b-train_base.") == "swallow-ms-7b-train-base"
