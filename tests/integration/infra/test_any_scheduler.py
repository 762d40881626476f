"""The generic code needs no more of a scheduler than its port: all of it works with one that is not Slurm."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.errors import WorkerFailed
from infra.scheduler.cluster_site import Allocation
from infra.scheduler.errors import JobRefused
from infra.scheduler.launcher import BatchLauncher
from infra.scheduler.records import read_attempts, read_submissions
from infra.scheduler.stage_job import StageJob
from tests.support.toy_scheduler import ToyScheduler, ToySite

pytestmark = pytest.mark.quick

REPOSITORY = Path(__file__).parents[3]
SECONDS = 60.0


@dataclass
class Played:
    """A training of two ranks on the toy."""

    folder: Path
    scheduler: ToyScheduler

    @property
    def stage_job(self) -> StageJob:
        return StageJob("train", "run-1", "f" * 64, self.folder / "scratch", REPOSITORY, self.folder / "cancelled")

    def run(self) -> None:
        """As a stage's door does."""
        BatchLauncher(self.stage_job, self.scheduler).run(
            "tests.support.ranks.unlucky_ranks", [str(self.folder)], processes=2, environment={},
            outcome=self.folder / "outcome.json",
        )  # fmt: skip

    def jobs(self) -> int:
        """How many the toy ever took."""
        return len(list(self.scheduler.site.folder.glob("*/name")))


@pytest.fixture
def played(tmp_path: Path) -> Played:
    (tmp_path / "toy").mkdir()
    allocation = Allocation(
        nodes=1, minimum_nodes=1, tasks_per_node=2, gpus_per_node=0, cpus_per_task=1, memory_mib_per_node=None,
        exclusive=False, walltime_minutes=30,
    )
    return Played(tmp_path, ToyScheduler(ToySite(
        stages={"train": allocation}, environment={}, network_interface=None, shared_folder=None, signal_seconds=60,
        poll_seconds=0.1, begin_seconds=30, longest_wait_minutes=None, attempts=5, failures_forgiven=2, price_per_gpu_hour=None,
        currency=None, folder=tmp_path / "toy",
    )))  # fmt: skip


@contextmanager
def asked_to_end(played: Played) -> Iterator[None]:
    """This process is, once the ranks began."""

    def ask() -> None:
        begun = played.stage_job.folder / "begun/1"
        until = time.monotonic() + SECONDS
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    thread.join()


def test_ranks_that_were_killed_are_started_again_by_the_job_itself_and_finish(
    played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    (played.folder / "killed").touch()
    played.run()
    first, second = read_attempts(played.stage_job.folder)
    assert (first.verdict, first.node, first.rank, first.words) == ("lost", "here", 1, "killed by 9")
    assert (second.verdict, second.restart, second.done) == ("finished", 1, 1)
    assert played.jobs() == len(read_submissions(played.stage_job.folder)) == 1
    said = capsys.readouterr().out
    assert "job 1 is playing on here" in said
    assert '@progress {"done": 1' in said


def test_what_the_jobs_took_and_their_papers_are_kept_beside_the_output(played: Played) -> None:
    played.run()
    launcher = BatchLauncher(played.stage_job, played.scheduler)
    usage = launcher.usage(played.folder / "metrics.jsonl")
    assert usage is not None
    assert usage.starts == 1
    launcher.copy_job_record(played.folder / "papers")
    assert {path.name for path in (played.folder / "papers").iterdir()} == {
        "job.toy", "submissions.json", "attempts.jsonl", "usage.json", "environment-1-0.json",
    }  # fmt: skip
    assert '"TOY_JOB"' in (played.folder / "papers/environment-1-0.json").read_text(encoding="utf-8")


def test_a_rank_that_fails_by_itself_is_told_and_not_started_again(played: Played) -> None:
    (played.folder / "fails").touch()
    with pytest.raises(WorkerFailed, match="job 1: rank 1 of 2 on here failed: ValueError: rank 1 does not like it"):
        played.run()
    assert [attempt.verdict for attempt in read_attempts(played.stage_job.folder)] == ["failed"]


def test_a_job_outlives_its_watcher_and_the_next_follows_it(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    (played.folder / "waits").touch()
    words = "job 1 goes on by itself. Run the same command again to follow it, or end it with `toycancel 1`"
    with asked_to_end(played), pytest.raises(WorkerFailed, match=words):
        played.run()
    later = threading.Timer(0.5, (played.folder / "waits").unlink)
    later.start()
    played.run()
    later.join()
    assert played.jobs() == 1
    assert [attempt.verdict for attempt in read_attempts(played.stage_job.folder)] == ["finished"]
    assert "job 1 computes this already (playing): following it" in capsys.readouterr().out


def test_a_cancelled_job_is_gone(played: Played) -> None:
    (played.folder / "waits").touch()
    played.stage_job.cancelled.touch()
    with asked_to_end(played), pytest.raises(WorkerFailed, match="job 1 was cancelled, as asked"):
        played.run()
    assert played.scheduler.named(played.stage_job.name) == []


def test_a_scheduler_that_is_away_is_waited_for_by_its_name(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    away = played.scheduler.site.folder / "away"
    away.touch()
    back = threading.Timer(0.3, away.unlink)
    back.start()
    played.run()
    back.join()
    assert "Toy does not answer; asking again every 0.1 s: it is away." in capsys.readouterr().out
    assert played.jobs() == 1


def test_a_refusal_is_an_error_in_the_schedulers_words(played: Played) -> None:
    (played.scheduler.site.folder / "refuses").touch()
    with pytest.raises(JobRefused, match=r"no more toys\. Change toy\.stages\.train\."):
        played.run()
