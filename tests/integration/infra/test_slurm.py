"""The launcher on a real cluster: a job goes on whatever happens to it, to its nodes, to Slurm, and to whoever watches it.

Most jobs here run side by side from the first test on, each for a test of its own; what disturbs all of them comes later.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.base.ports import Context
from components.errors import MartletError, ParameterError
from infra.deploy.cluster.cluster import Cluster
from infra.deploy.cluster.configuration import ClusterShape
from infra.deploy.cluster.installation import install
from infra.scheduler.errors import JobRefused, SchedulerMissing
from infra.scheduler.records import Attempt, read_attempts, read_submissions
from infra.sites import load_cluster
from infra.slurm.commands import Slurm
from infra.slurm.jobs import State
from tests.support.builders.tiny_training import attempt, prepare, trainer
from tests.support.cluster import living, submit, wait_for
from tests.support.fakes import SITE, make_context
from tests.support.ranks.forked_ranks import warm_process
from tests.support.ranks.slurm_driver import Driven, launcher_of

REPOSITORY = Path(__file__).parents[3]
HOSTILE = "it's a \"folder\" with $HOME, `id` and 100 % 燕"
FOR_EVER = 100_000
SECONDS = 240.0
"""For anything here, a start of the real trainer on a busy machine included."""
MANY_CYCLES = int(os.environ.get("MARTLET_CYCLES", "60"))
"""How often the last test ends something at a random moment, at night."""
MANY = pytest.param(MANY_CYCLES, id="many", marks=[pytest.mark.long, pytest.mark.timeout(1200 + 60 * MANY_CYCLES)])

PAUSED = """#!/bin/sh
# the real sbatch, counted, and held up before or after it where a test asks for that
echo $$ >> {folder}/sbatch.pids
while [ -e {folder}/pause-before ]; do sleep 0.05; done
PATH={path} sbatch "$@"
code=$?
echo $code >> {folder}/sbatch.codes
while [ -e {folder}/pause-after ]; do sleep 0.05; done
exit $code
"""
FORGETFUL = """#!/bin/sh
# the real scontrol, or one whose controller forgot all jobs
if [ "$1 $2" = "show job" ] && [ -e {folder}/forgotten ]; then
    echo "slurm_load_jobs error: Invalid job id specified" >&2
    exit 1
fi
PATH={path} exec scontrol "$@"
"""

HANGING = """# the Python of a rank that does not come to begin while a test asks for that
import os, pathlib, time
while "SLURM_STEP_ID" in os.environ and pathlib.Path({state!r}, "hang-" + os.environ["SLURM_PROCID"]).exists():
    time.sleep(0.1)
"""


class Stub:
    """Stub ranks that a driver process runs on the cluster; the files of both are below one folder."""

    def __init__(self, cluster: Cluster, folder: Path, name: str, changes: Mapping[str, Any], steps: int = FOR_EVER) -> None:
        """`changes` are of the site or of its allocation; there are two nodes of one task each if they do not say otherwise."""
        self.cluster, self.folder = cluster, folder
        self.state, self.job_folder = folder / "scratch/state", folder / "scratch/job"
        self.state.mkdir(parents=True)
        (folder / "bin").mkdir()
        self.stand_in("sbatch", PAUSED)
        self.stand_in("scontrol", FORGETFUL)
        (folder / "python").mkdir()
        (folder / "python/sitecustomize.py").write_text(HANGING.format(state=str(self.state)), encoding="utf-8")
        changes = {"environment": {"PYTHONPATH": f"{folder}/python"}, **changes}
        (folder / "workspace").symlink_to(REPOSITORY)
        self.driven = Driven(
            fingerprint=f"{name:x<64}", scratch=folder / "scratch", workspace=folder / "workspace",
            cancelled=folder / "cancelled", module="tests.support.ranks.stub_ranks", arguments=[str(self.state), str(steps)],
            outcome=folder / "scratch/outcome.json", site=site_of(**changes), configuration=cluster.configuration,
        )
        self.name = launcher_of(self.driven).stage_job.name
        self.driver: subprocess.Popen[bytes] | None = None

    def stand_in(self, program: str, text: str) -> None:
        """A program of this name comes first on the driver's PATH."""
        path = self.folder / "bin" / program
        path.write_text(text.format(folder=quoted(self.folder), path=quoted(os.environ["PATH"])), encoding="utf-8")
        path.chmod(0o755)

    def start(self) -> "Stub":
        """Starts a driver."""
        (self.folder / "driven.json").write_text(self.driven.model_dump_json(), encoding="utf-8")
        with (self.folder / "said").open("ab") as stream:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "tests.support.ranks.slurm_driver", str(self.folder / "driven.json")],
                cwd=REPOSITORY, stdout=stream,
                stderr=stream, env={**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"},
            )
        return self

    def send(self, number: int) -> int:
        """Sends the driver a signal and waits for its end."""
        assert self.driver is not None
        self.driver.send_signal(number)
        return self.driver.wait(SECONDS)

    def end(self) -> None:
        """Leaves no driver behind."""
        if self.driver is not None:
            self.driver.kill()
            self.driver.wait()

    def finish(self, code: int = 0) -> str:
        """Waits for the driver's end by itself, with this exit code; returns what was said."""
        assert self.driver is not None
        try:
            found = self.driver.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.words()}\n{read(self.job_folder / 'batch.log')}") from None
        assert found == code, f"{self.words()}\n{read(self.job_folder / 'batch.log')}"
        return self.said()

    def finish_now(self) -> str:
        """As `finish`, after the step at hand."""
        (self.state / "enough").touch()
        return self.finish()

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Fails with what is known."""
        until = time.monotonic() + SECONDS
        while not is_so():
            assert time.monotonic() < until, f"{self.words()}\n{self.attempts()}\n{read(self.job_folder / 'batch.log')}"
            time.sleep(0.1)

    def wait_for_step(self, step: int) -> None:
        """Until rank 0 made that many, and each other rank of this start its first: before, it may not listen to signals."""
        self.wait_until(lambda: len(self.history()) >= step and self.is_whole())

    def is_whole(self) -> bool:
        """Whether every rank of the start at hand has made a step."""
        job, restart, _, ranks = self.history()[-1]
        begun = [read(self.state / f"history-{rank}") for rank in range(ranks)]
        return all(any(line.startswith(f"{job} {restart} ") for line in steps.splitlines()) for steps in begun)

    def said(self) -> str:
        """By all drivers so far."""
        return read(self.folder / "said")

    def words(self) -> str:
        """What was said beside progress lines."""
        return "\n".join(line for line in self.said().splitlines() if not line.startswith("@"))

    def history(self) -> list[tuple[int, int, int, int]]:
        """Job, restart, step and number of ranks, for each step that rank 0 made."""
        found = [tuple(int(word) for word in line.split()) for line in read(self.state / "history-0").splitlines()]
        return [(job, restart, step, ranks) for job, restart, step, ranks in found]

    def attempts(self) -> list[Attempt]:
        """What the job noted of its starts."""
        return read_attempts(self.job_folder)

    def job(self) -> int:
        """The number of the job that was submitted last."""
        number = read_submissions(self.job_folder)[-1].job
        assert number is not None
        return number

    def submitted(self) -> int:
        """How many jobs of this training Slurm ever took."""
        return len(self.cluster.command("squeue", "--noheader", "--states=all", f"--name={self.name}").splitlines())

    def check_steps(self) -> None:
        """No step was made twice, and none was left out."""
        steps = [step for _, _, step, _ in self.history()]
        assert steps == list(range(1, len(steps) + 1))

    def kill_rank(self, rank: int) -> bool:
        """`kill -9` of a rank; False where none lives."""
        found = [
            member for member in self.cluster.processes(SLURM_PROCID=f"{rank}", SLURM_STEP_ID="0", SLURM_JOB_NAME=self.name)
            if member.name.startswith("python")
        ]  # fmt: skip
        for member in found:
            os.kill(member.pid, signal.SIGKILL)
        return bool(found)


def site_of(**changes: Any) -> Any:
    """The test cluster's site, its training on two nodes of one task each; with changes."""
    site = load_cluster("slurm-dev")
    assert site is not None
    small = {"tasks_per_node": 1, "gpus_per_node": 0, "minimum_nodes": 2}
    allocation = site.stages["train"].model_dump() | small
    own = {name: changes.pop(name) for name in list(changes) if name in allocation}
    return site.model_validate(site.model_dump() | {"poll_seconds": 0.3, "stages": {"train": allocation | own}} | changes)


def quoted(value: object) -> str:
    """As a shell reads it."""
    return "'" + str(value).replace("'", "'\\''") + "'"


def read(path: Path) -> str:
    """A file's text; empty where there is none."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def waits(training: Stub) -> bool:
    """Whether it said why it has to."""
    return "waits (Resources" in training.said() or "waits (Priority" in training.said()


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """Two nodes with room for all of these jobs at once; a silent node is given up soon."""
    install()
    yield from living(ClusterShape(cpus=64, message_seconds=4, node_timeout_seconds=5))


@pytest.fixture(scope="module")
def slurm(own_cluster: Cluster) -> Slurm:
    """Its commands."""
    return Slurm(own_cluster.configuration)


STORIES: dict[str, dict[str, Any]] = {
    "finishing": {"tasks_per_node": 2},
    "followed": {},
    "twice": {},
    "left alone": {},
    "killed rank": {},
    "killed too often": {"failures_forgiven": 1},
    "bad node": {"minimum_nodes": 1},
    "own fault": {"tasks_per_node": 2},
    "cancelled": {},
    "cancelled, deaf": {},
    "near its limit": {"walltime_minutes": 1, "signal_seconds": 59},
    "over its limit": {},
    "controller": {},
    "forgotten": {},
    "refused node": {"failures_forgiven": 20},
    "absent rank": {"begin_seconds": 10},
}
"""Jobs that begin together, and what their sites have of their own."""
ASKED = {
    "killed rank": {"die-1": 4}, "killed too often": {"die-0": 0}, "bad node": {"die-node2": 0}, "own fault": {"fail-3": 6},
    "cancelled, deaf": {"deaf": 1}, "over its limit": {"deaf": 1}, "refused node": {"die-1": 0},
    "absent rank": {"hang-1": 1},
}  # fmt: skip
"""Files for the stub ranks."""


@pytest.fixture(scope="module")
def stories(
    own_cluster: Cluster, slurm: Slurm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Stub]]:
    """All started while the cluster had no place for any of them, and each waiting in the queue until all did."""
    folder = tmp_path_factory.mktemp("stories")
    blocker = submit(slurm, folder, "sleep 300", "--exclusive", "--nodes=2", "--partition=low")
    wait_for(slurm, blocker, State.RUNNING)
    found = {
        name: Stub(own_cluster, folder / (HOSTILE if name == "finishing" else name), name.replace(" ", "").replace(",", ""),
                       changes, steps=12 if name == "finishing" else FOR_EVER)
        for name, changes in STORIES.items()
    }  # fmt: skip
    for name, training in found.items():
        for file, text in ASKED.get(name, {}).items():
            (training.state / file).write_text(str(text), encoding="utf-8")
    queued = [training.start() for name, training in found.items() if name != "bad node"]
    for training in queued:
        training.wait_until(partial(waits, training))
    slurm.cancel(blocker)
    found["over its limit"].wait_for_step(3)
    own_cluster.command("scontrol", "update", f"JobId={found['over its limit'].job()}", "EndTime=now+1")
    # where only one node is free it would begin there, as it may
    found["bad node"].start()
    yield found
    for training in found.values():
        training.end()


def test_a_long_queue_is_said_with_its_reason_and_is_no_error(stories: dict[str, Stub]) -> None:
    waiting = [training for training in stories.values() if waits(training)]
    assert len(waiting) >= len(STORIES) - 1
    for training in waiting:
        assert "error:" not in training.said().partition("is running")[0]


def test_ranks_finish_on_two_nodes_their_lines_pass_through_and_everything_is_on_record(stories: dict[str, Stub]) -> None:
    training = stories["finishing"]
    said = training.finish()
    assert [json.loads(line.partition(" ")[2])["done"] for line in said.splitlines() if line.startswith("@progress")] == [
        *range(1, 13)
    ]
    logs = {path.name: path.read_text() for path in (training.job_folder / "logs").iterdir()}
    assert logs.keys() == {f"rank-{rank}.log" for rank in range(4)}
    assert logs["rank-0.log"].count("@progress") == 12
    attempt = training.attempts()[0]
    assert attempt.model_dump(include={"job", "restart", "nodes", "tasks", "verdict", "rank", "done"}) == {
        "job": training.job(), "restart": 0, "nodes": ("node1", "node2"), "tasks": 4, "verdict": "finished", "rank": None,
        "done": 12,
    }  # fmt: skip
    assert attempt.ended is not None
    assert attempt.queued < attempt.began < attempt.ended
    training.check_steps()


def test_after_a_kill_of_the_watcher_a_new_one_follows_the_same_job(stories: dict[str, Stub]) -> None:
    training = stories["followed"]
    training.wait_for_step(3)
    assert training.send(signal.SIGKILL) == -signal.SIGKILL
    training.start()
    training.wait_until(lambda: "computes this already (running): following it" in training.said())
    training.finish_now()
    assert training.submitted() == 1
    training.check_steps()


def test_a_submission_that_arrives_late_waits_and_is_ended_by_the_next_watcher(
    stories: dict[str, Stub], slurm: Slurm
) -> None:
    training = stories["twice"]
    training.wait_for_step(3)
    late = slurm.submit(training.job_folder / "job.sbatch", "train")
    training.wait_until(lambda: (job := slurm.job(late)) is not None and job.reason == "Dependency")
    assert training.send(signal.SIGKILL) == -signal.SIGKILL
    training.start()
    training.wait_until(lambda: f"job {late} is one too many: ending it" in training.said())
    assert training.finish_now().count("computes this already (running): following it") == 1
    wait_for(slurm, late, State.CANCELLED)
    assert [(each.job, each.verdict) for each in training.attempts()] == [(training.job(), "finished")]
    training.check_steps()


def test_sigterm_alone_ends_the_watcher_and_the_job_goes_on(stories: dict[str, Stub], slurm: Slurm) -> None:
    training = stories["left alone"]
    training.wait_for_step(3)
    assert training.send(signal.SIGTERM) == 1
    job = training.job()
    assert f"error: the flow ended; job {job} goes on by itself. Run the same command again" in training.said()
    steps = len(training.history())
    training.wait_for_step(steps + 2)
    (training.state / "enough").touch()
    wait_for(slurm, job, State.COMPLETED)  # with nobody watching
    training.start().finish()
    assert training.submitted() == 1
    assert [attempt.verdict for attempt in training.attempts()] == ["finished"]


@pytest.mark.parametrize("name", ["cancelled", "cancelled, deaf"])
def test_a_cancelled_job_is_gone_within_ten_seconds(stories: dict[str, Stub], slurm: Slurm, name: str) -> None:
    training = stories[name]
    training.wait_for_step(3)
    training.driven.cancelled.touch()
    start = time.monotonic()
    assert training.send(signal.SIGTERM) == 1
    assert time.monotonic() - start < 10
    assert slurm.named(training.name) == []
    job = slurm.job(training.job())
    assert job is not None
    assert (job.state, job.restarts) == (State.CANCELLED, 0)
    assert "was cancelled, as asked" in training.said()


def test_a_rank_that_fails_by_itself_ends_the_job_at_once_with_its_own_words(stories: dict[str, Stub]) -> None:
    training = stories["own fault"]
    words = training.finish(1)
    node = training.attempts()[0].nodes[1]
    assert f"job {training.job()}: rank 3 of 4 on {node} failed: ValueError: rank 3 does not like step 6" in words
    log = words.partition(f"{training.job_folder}/logs/rank-3.log ends with:\n")[2]
    assert "what went wrong is here" in log
    assert "Traceback (most recent call last)" in log
    assert [(attempt.verdict, attempt.rank) for attempt in training.attempts()] == [("failed", 3)]


def test_a_job_that_lost_a_rank_is_put_back_into_the_queue_and_goes_on(stories: dict[str, Stub]) -> None:
    training = stories["killed rank"]
    training.wait_until(lambda: len(training.attempts()) >= 2)
    training.finish_now()
    assert [(each.verdict, each.node, each.rank) for each in training.attempts()] == [
        ("lost", training.attempts()[0].nodes[1], 1), ("finished", None, None),
    ]  # fmt: skip
    assert training.submitted() == 1
    training.check_steps()


def test_a_job_that_loses_ranks_more_often_than_is_forgiven_ends_with_one_message(stories: dict[str, Stub]) -> None:
    training = stories["killed too often"]
    (message,) = [line for line in training.finish(1).splitlines() if "error: job" in line]
    assert message.endswith(
        "and is not started again: it was lost 2 times without getting further; the site forgives 1. "
        "What it saved is kept: run the same command again to go on."
    )
    assert len(training.attempts()) == 2


def test_the_third_start_keeps_away_from_a_node_that_two_were_lost_on(stories: dict[str, Stub]) -> None:
    training = stories["bad node"]
    training.wait_until(partial(is_lost_twice, training))
    training.wait_until(lambda: bool(training.attempts()[-1].ended is None and training.history()))
    training.finish_now()
    assert training.said().count(f"job {training.job()} keeps away from node2, where it was lost more than once") == 1
    last = training.attempts()[-1]
    assert (last.verdict, last.nodes) == ("finished", ("node1",))
    training.check_steps()


def is_lost_twice(training: Stub) -> bool:
    """Whether node2 took it down twice; sends it there again where Slurm gave it node1 alone, the first that was free."""
    attempts = training.attempts()
    lost = [each for each in attempts if each.verdict == "lost"]
    assert {each.node for each in lost} <= {"node2"}
    last = attempts[-1] if attempts else None
    if len(lost) < 2 and last is not None and last.nodes == ("node1",) and last.ended is None:
        training.cluster.command("scontrol", "requeue", str(training.job()))
        training.wait_until(lambda: training.attempts()[-1].ended is not None)
    return len(lost) >= 2


def test_a_node_is_not_kept_away_from_where_the_job_could_not_run_without_it(stories: dict[str, Stub]) -> None:
    training = stories["refused node"]
    training.wait_until(lambda: len(training.attempts()) >= 4)
    (training.state / "die-1").unlink()
    training.finish_now()
    for words in ("keeps", "cannot keep"):  # once each: what did not work is not tried at every start
        said = f"job {training.job()} {words} away from node2, where it was lost more than once"
        assert training.said().count(said) == 1
    assert {each.nodes for each in training.attempts()} == {("node1", "node2")}
    assert training.submitted() == 1


def test_a_start_in_which_a_rank_does_not_even_begin_is_ended_and_the_job_put_back(stories: dict[str, Stub]) -> None:
    training = stories["absent rank"]
    training.wait_until(lambda: any(each.verdict == "lost" for each in training.attempts()))
    (training.state / "hang-1").unlink()
    training.wait_until(partial(steps_are_made, training, 1))
    training.finish_now()
    first, *_, last = training.attempts()
    assert (first.verdict, first.node, first.rank, first.words) == (
        "lost", first.nodes[1], 1, "rank 1 did not begin within 10 s",
    )  # fmt: skip
    assert (last.verdict, last.tasks) == ("finished", 2)
    assert training.submitted() == 1
    training.check_steps()


def test_what_the_controller_forgot_is_judged_by_what_the_job_noted(stories: dict[str, Stub], slurm: Slurm) -> None:
    training = stories["forgotten"]
    training.wait_for_step(3)
    assert training.driver is not None
    training.driver.send_signal(signal.SIGSTOP)
    (training.state / "fail-1").write_text(str(len(training.history()) + 10), encoding="utf-8")
    job = wait_for(slurm, training.job(), State.FAILED)
    (training.folder / "forgotten").touch()  # and there is no accounting in this cluster
    training.driver.send_signal(signal.SIGCONT)
    assert f"job {job.number}: rank 1 of 2 on node2 failed: ValueError: rank 1 does not like step" in training.finish(1)


def test_a_job_near_its_time_limit_saves_its_state_and_goes_on_in_the_same_job(stories: dict[str, Stub]) -> None:
    training = stories["near its limit"]
    training.wait_until(lambda: len(training.attempts()) >= 2)
    training.finish_now()
    *before, last = [attempt.verdict for attempt in training.attempts()]
    assert (set(before), last) == ({"stopped"}, "finished")
    assert training.submitted() == 1
    training.check_steps()


def test_a_job_that_slurm_ended_at_its_limit_goes_on_in_another(stories: dict[str, Stub]) -> None:
    training = stories["over its limit"]
    training.wait_until(lambda: len(training.attempts()) >= 2)
    first = training.attempts()[0].job
    said = training.finish_now()
    assert f"job {first} ended as TIMEOUT (ended by Slurm): submitting the next, which goes on" in said
    assert [(each.job, each.verdict) for each in training.attempts()] == [(first, "stopped"), (training.job(), "finished")]
    assert training.submitted() == 2
    training.check_steps()


@pytest.mark.parametrize("moment", ["before sbatch", "before Slurm has it", "before its answer"])
def test_a_watcher_killed_while_it_submits_leaves_exactly_one_job(
    own_cluster: Cluster, slurm: Slurm, tmp_path: Path, moment: str
) -> None:
    training = Stub(own_cluster, tmp_path / "training", moment.replace(" ", ""), {})
    pause = training.folder / ("pause-after" if moment == "before its answer" else "pause-before")
    pause.touch()
    training.start()
    training.wait_until(lambda: bool(read(training.folder / ("sbatch.codes" if "after" in pause.name else "sbatch.pids"))))
    training.send(signal.SIGKILL)
    assert [each.job for each in read_submissions(training.job_folder)] == [None]
    if moment == "before sbatch":
        os.kill(int(read(training.folder / "sbatch.pids")), signal.SIGKILL)
        pause.unlink()
    training.start()
    if pause.exists():
        with pytest.raises(subprocess.TimeoutExpired):  # it waits for the sbatch that outlived its caller
            training.driver.wait(1)  # type: ignore[union-attr]
        pause.unlink()
    training.wait_for_step(2)
    assert len(slurm.named(training.name)) == 1
    training.finish_now()
    assert training.submitted() == 1
    assert {job for job, *_ in training.history()} == {training.attempts()[0].job}


def test_a_controller_that_is_restarted_costs_some_words_and_nothing_else(
    stories: dict[str, Stub], own_cluster: Cluster
) -> None:
    training = stories["controller"]
    training.wait_for_step(3)
    own_cluster.stop_controller()
    training.wait_until(lambda: "Slurm does not answer; asking again every 0.3 s" in training.said())
    steps = len(training.history())
    training.wait_for_step(steps + 3)
    own_cluster.start_controller()
    training.wait_until(lambda: "Slurm answers again" in training.said())
    training.finish_now()
    assert [attempt.verdict for attempt in training.attempts()] == ["finished"]
    training.check_steps()


@pytest.mark.parametrize(("changes", "error", "words"), [
    ({"partition": "nope"}, JobRefused, r"(?i)invalid partition.*slurm\.stages\.\w+\.partition"),
    ({"gpus_per_node": 9}, JobRefused, "(?i)node configuration is not available.*gpus_per_node"),
    ({"shared_folder": "/srv/shared"}, ParameterError, "is not below /srv/shared.*MARTLET_HOME"),
])
def test_a_job_that_cannot_be_is_refused_with_slurms_reason_and_the_key_to_change(
    own_cluster: Cluster, tmp_path: Path, changes: dict[str, Any], error: type[MartletError], words: str
) -> None:
    driven = Stub(own_cluster, tmp_path / "training", "refused", changes).driven
    with pytest.raises(error, match=words):
        launcher_of(driven).run(driven.module, [], processes=2, environment={}, outcome=driven.outcome)


def test_a_walltime_above_the_partitions_is_told_with_the_key_to_change(
    own_cluster: Cluster, slurm: Slurm, tmp_path: Path
) -> None:
    training = Stub(own_cluster, tmp_path / "training", "toolong", {"walltime_minutes": 9 * 1440}).start()
    training.wait_until(lambda: "waits (PartitionTimeLimit" in training.said())
    assert "Lower slurm.stages.train.walltime_minutes to what the partition allows" in training.said()
    training.driven.cancelled.touch()
    assert training.send(signal.SIGTERM) == 1
    assert slurm.named(training.name) == []


def test_a_job_that_waits_longer_than_the_site_has_patience_is_ended(
    own_cluster: Cluster, slurm: Slurm, tmp_path: Path
) -> None:
    changes = {"walltime_minutes": 9 * 1440, "longest_wait_minutes": 0.05}
    training = Stub(own_cluster, tmp_path / "training", "impatient", changes).start()
    (message,) = [line for line in training.finish(1).splitlines() if "error: job" in line]
    assert "waited 0 minutes (PartitionTimeLimit) and was ended, as slurm.longest_wait_minutes 0.05 of the site" in message
    assert slurm.named(training.name) == []
    assert training.submitted() == 1


def test_a_machine_without_slurm_is_told_apart_from_a_refusal(
    own_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = Stub(own_cluster, tmp_path / "training", "missing", {}).driven
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedulerMissing, match="squeue is not on PATH"):
        launcher_of(driven).run(driven.module, [], processes=2, environment={}, outcome=driven.outcome)


@dataclass
class Disturbed:
    """What was preempted, and lost a node later."""

    waiting: Stub
    """Needs both nodes."""
    shrinking: Stub
    """Goes on with one."""
    real: Stub
    """As well, and trains."""
    output: Path
    plain: Path
    """What the same training, never disturbed, left in processes of this machine."""


@pytest.fixture(scope="module")
def disturbed(own_cluster: Cluster, slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    """Jobs side by side that are preempted by one of `high`, and then lose node2 to a power cut, for a while."""
    folder = tmp_path_factory.mktemp("disturbed")
    inputs = prepare(folder)
    waiting = Stub(own_cluster, folder / "waiting", "waiting", {"tasks_per_node": 2})
    shrinking = Stub(own_cluster, folder / "shrinking", "shrinking", {"tasks_per_node": 2, "minimum_nodes": 1}).start()
    real = Stub(own_cluster, folder / "real", "real", {"minimum_nodes": 1})
    component = trainer(steps=STEPS, checkpoint_every_steps=10, learning_rate=1e-3, minimum_learning_rate=1e-4)
    warm_process()
    with ThreadPoolExecutor() as threads:
        trained = threads.submit(component.run, context_of(real), inputs / "model", inputs / "tokens", folder / "output")
        plain = threads.submit(attempt, inputs, folder / "plain", component)
        try:
            wait_for_metrics(real, 1, trained)
            shrinking.wait_for_step(3)
            waiting.start().wait_for_step(3)  # after the others: they are not to wait behind it for the node
            wait_for_metrics(real, 15, trained)
            high = submit(slurm, folder, "true", "--partition=high", "--exclusive", "--nodes=2")
            wait_for(slurm, high, State.COMPLETED)
            for training in (waiting, shrinking):
                training.wait_until(partial(steps_are_made, training, 1))
            wait_for_metrics(real, len(metrics(real)) + 10, trained)
            own_cluster.kill_node("node2")
            shrinking.wait_until(partial(steps_are_made, shrinking, 2))
            trained.result(SECONDS)
            shrinking.finish_now()
            own_cluster.start_node("node2")
            waiting.finish_now()
            plain.result(SECONDS)
            yield Disturbed(waiting, shrinking, real, folder / "output", folder / "plain/output")
        finally:
            own_cluster.start()
            own_cluster.empty()
            for training in (waiting, shrinking):
                training.end()


STEPS = 200
"""Of the real training: more than it makes until it is disturbed, on a busy machine too."""


def context_of(training: Stub) -> Context:
    """For the real trainer."""
    site = replace(SITE, train_processes=2, train_micro_batch_size=2)
    return make_context(training.folder, site=site, launcher=launcher_of(training.driven))


def metrics(training: Stub) -> list[dict[str, Any]]:
    """A line a step, of which some are made again after a start from a checkpoint."""
    whole = read(training.folder / "metrics.jsonl").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def wait_for_metrics(training: Stub, count: int, trained: "Future[Any]") -> None:
    """Until there are as many lines."""
    training.wait_until(lambda: len(metrics(training)) >= count or trained.done())
    assert not trained.done(), "it was over before it could be disturbed"


def steps_are_made(training: Stub, restarts: int) -> bool:
    """Whether rank 0 made some since that many restarts."""
    return len([restart for _, restart, *_ in training.history() if restart >= restarts]) >= 3


def test_a_preempted_job_is_put_back_into_the_queue_and_no_step_is_made_twice(disturbed: Disturbed) -> None:
    for training in (disturbed.waiting, disturbed.shrinking):
        assert (training.attempts()[0].verdict, training.attempts()[0].words) == (
            "stopped", "stopped by a signal, its state is saved",
        )  # fmt: skip
        assert training.attempts()[1].tasks == 4
        training.check_steps()
        assert training.submitted() == 1


def test_a_job_that_lost_a_node_waits_until_it_is_back_and_finishes(disturbed: Disturbed) -> None:
    attempts = disturbed.waiting.attempts()
    assert [(each.verdict, each.node, each.nodes) for each in attempts[1:]] == [
        ("lost", "node2", ("node1", "node2")), ("finished", None, ("node1", "node2")),
    ]  # fmt: skip
    assert disturbed.waiting.submitted() == 1


def test_a_job_that_may_have_fewer_nodes_goes_on_with_those_that_are_left(disturbed: Disturbed) -> None:
    assert [(each.verdict, each.nodes, each.tasks) for each in disturbed.shrinking.attempts()] == [
        ("stopped", ("node1", "node2"), 4), ("lost", ("node1", "node2"), 4), ("finished", ("node1",), 2),
    ]  # fmt: skip


def test_a_training_that_was_preempted_and_lost_a_node_has_the_losses_of_an_undisturbed_one(disturbed: Disturbed) -> None:
    starts = [json.loads(line) for line in read(disturbed.real.folder / "scratch/starts.jsonl").splitlines()]
    assert [each.tasks for each in disturbed.real.attempts()] == [2, 2, 1], starts
    found, expected = [
        (folder / "losses.jsonl").read_text(encoding="utf-8").splitlines() for folder in (disturbed.output, disturbed.plain)
    ]
    resharded = starts[-1]["step"]
    assert 0 < starts[1]["step"] < resharded
    assert found[:resharded] == expected[:resharded]
    pairs = [(json.loads(one)["loss"], json.loads(other)["loss"]) for one, other in zip(found, expected, strict=True)]
    assert max(abs(one - other) for one, other in pairs) < 1e-3


@pytest.mark.parametrize("cycles", [6, MANY])
def test_interruptions_at_random_moments_leave_one_finished_job_and_no_step_twice(
    own_cluster: Cluster, slurm: Slurm, tmp_path: Path, cycles: int
) -> None:
    chance, left, number = random.Random(20240427), cycles, 0
    while left > 0:
        number += 1
        folder = tmp_path / f"training-{number}"
        training = Stub(own_cluster, folder, f"cycles{number}", {"failures_forgiven": 50}, steps=50)
        left = interrupted(training, chance, left)
        assert slurm.named(training.name) == []
        assert training.submitted() == 1
        assert {job for job, *_ in training.history()} == {training.attempts()[0].job}
        assert [each.verdict for each in training.attempts()].count("finished") == 1
        assert training.attempts()[-1].verdict == "finished"
        training.check_steps()


def rank_was_killed(training: Stub, rank: int) -> bool:
    """Kills it; true as well where there is none to kill any more."""
    assert training.driver is not None
    return training.kill_rank(rank) or training.driver.poll() is not None


def interrupted(training: Stub, chance: random.Random, cycles: int) -> int:
    """Drives a training to its end, with up to so many interruptions; returns how many are left of them."""
    while True:
        training.start()
        assert training.driver is not None
        try:
            code = training.driver.wait(chance.uniform(0, 3) if cycles else SECONDS)
        except subprocess.TimeoutExpired:
            cycles -= 1
            how = chance.choice(["KILL", "KILL", "TERM", "TERM", "rank"])
            if how == "rank":
                training.wait_until(partial(rank_was_killed, training, chance.choice([0, 1])))
            training.send(signal.SIGTERM if how == "TERM" else signal.SIGKILL)
            continue
        assert code == 0, training.said()
        return cycles
