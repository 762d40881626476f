"""The commands and the batch script against a real Slurm: taken, refused, found, cancelled for good, out of reach."""

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.deploy.cluster.cluster import Cluster
from infra.deploy.cluster.configuration import ClusterShape
from infra.deploy.cluster.installation import install
from infra.scheduler.errors import JobRefused, SchedulerUnreachable
from infra.slurm.commands import Slurm
from infra.slurm.jobs import State
from infra.slurm.refusals import remedy
from infra.slurm.script import ScriptRequest, sbatch_text
from tests.support.cluster import living, submit, wait_for, wait_until
from tests.unit.infra.test_slurm_script import GOLDEN, HOSTILE, request_for, with_allocation, with_site

STUBBORN = "trap 'echo term' TERM; while true; do sleep 0.1; done"


def written(request: ScriptRequest, folder: Path) -> Path:
    """The request's script as a file, its job in this folder, its program one that only says how it was called."""
    request.folder.mkdir(parents=True, exist_ok=True)
    python = folder / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$@" "$THEIRS"\n', encoding="utf-8")
    python.chmod(0o755)
    script = folder / "job.sbatch"
    script.write_text(sbatch_text(replace(request, python=python, workspace=folder)), encoding="utf-8")
    return script


@pytest.mark.parametrize("stage", ["train", "evaluate", "clean"])
def test_slurm_would_start_what_the_test_clusters_site_asks_for(
    queue: Slurm, cluster: Cluster, stage: str, tmp_path: Path
) -> None:
    request = replace(request_for("smoke", "slurm-dev", stage), folder=tmp_path / "job", exclude=[])
    words = ["sbatch", "--test-only", str(written(request, tmp_path))]
    environment = {**os.environ, **cluster.environment()}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "to start at" in done.stderr
    assert queue.named(request.name) == []


@pytest.fixture(scope="module")
def large() -> Iterator[Cluster]:
    """Sixteen nodes of eight GPUs, as the Swallow recipes were trained on: as far as Slurm knows."""
    install()
    yield from living(ClusterShape(nodes=16, cpus=128, gpus=8))


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.sbatch")), ids=lambda path: path.stem)
def test_slurm_would_start_the_swallow_trainings_on_sixteen_nodes(large: Cluster, golden: Path, tmp_path: Path) -> None:
    script = tmp_path / "job.sbatch"
    script.write_text(golden.read_text(encoding="utf-8").replace("--partition=gpu", "--partition=low"), encoding="utf-8")
    environment = {**os.environ, **large.environment()}
    done = subprocess.run(["sbatch", "--test-only", str(script)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "on nodes node[1-16] in partition low" in done.stderr


def test_a_job_finds_its_folders_and_words_whatever_they_are_made_of(queue: Slurm, tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE
    folder.mkdir()
    request = replace(request_for("smoke", "slurm-dev", "pack"), folder=folder / "job 100 % %j", comment=HOSTILE)
    number = queue.submit(written(with_site(request, environment={"THEIRS": HOSTILE}), folder), "train")
    assert [job.number for job in queue.named(request.name)] in ([number], [])
    job = wait_for(queue, number, State.COMPLETED, State.FAILED)
    lines = (request.folder / "batch.log").read_text(encoding="utf-8").splitlines()
    assert lines == [str(folder), "-m", "infra.slurm.batch", str(request.folder), HOSTILE]
    assert (job.name, job.nodes, job.exit_code, job.living) == (request.name, "node1", (0, 0), False)
    for moment in (job.submitted, job.start, job.end):
        assert moment is not None
        assert abs(moment - datetime.now(UTC)) < timedelta(minutes=5)
    assert queue.named(request.name) == []
    assert queue.job(number + 1000) is None


@pytest.mark.parametrize(("changes", "words", "key"), [
    ({"partition": "nope"}, "Invalid partition name specified", "slurm.stages.train.partition"),
    ({"gpus_per_node": 9}, "Requested node configuration is not available", "gpus_per_node"),
    ({"memory_mib_per_node": 10**8}, "Memory specification can not be satisfied", "memory_mib_per_node"),
])
def test_a_refusal_is_slurms_words_and_the_key_to_change(
    queue: Slurm, changes: dict[str, object], words: str, key: str, tmp_path: Path
) -> None:
    request = replace(with_allocation(request_for("smoke", "slurm-dev"), **changes), folder=tmp_path / "job")
    with pytest.raises(JobRefused, match=words) as caught:
        queue.submit(written(request, tmp_path), "train")
    assert key in str(caught.value)
    assert queue.named(request.name) == []


def test_a_walltime_beyond_the_partitions_is_taken_and_told_from_waiting(queue: Slurm, tmp_path: Path) -> None:
    request = replace(with_allocation(request_for("smoke", "slurm-dev"), walltime_minutes=9 * 1440), folder=tmp_path / "job")
    number = queue.submit(written(request, tmp_path), "train")

    def is_stuck() -> bool:
        job = queue.job(number)
        return job is not None and job.stuck

    wait_until(is_stuck, lambda: str(queue.job(number)))
    job = queue.named(request.name)[-1]
    assert (job.state, job.reason) == (State.PENDING, "PartitionTimeLimit")
    assert "walltime_minutes" in remedy(job.reason, "train")


def test_a_killed_job_ends_its_ranks_at_once_and_does_not_come_back(queue: Slurm, tmp_path: Path) -> None:
    again = "scontrol requeue $SLURM_JOB_ID"
    ranks = f"""srun --output={tmp_path}/rank-%t.log sh -c "echo began; {STUBBORN}" """
    body = f"trap '{again}' TERM\n{ranks} &\nwait\n{again}"
    number = submit(queue, tmp_path, body, "--job-name=stubborn", "--nodes=2", "--ntasks-per-node=1", "--requeue")
    logs = [tmp_path / f"rank-{rank}.log" for rank in (0, 1)]
    wait_until(lambda: all(log.exists() and "began" in log.read_text(encoding="utf-8") for log in logs))
    assert [job.number for job in queue.named("stubborn")] == [number]
    queue.cancel(number, kill=True)
    job = wait_for(queue, number, State.CANCELLED, State.FAILED)
    assert all("term" not in log.read_text(encoding="utf-8") for log in logs), "asked to end, and killed after KillWait only"
    assert job.restarts == 0  # failed or cancelled: its batch script may end between the two commands
    queue.cancel(number)  # once more does no harm
    assert queue.named("stubborn") == []


def test_a_requeued_job_keeps_away_from_a_node(queue: Slurm, tmp_path: Path) -> None:
    number = submit(queue, tmp_path, "sleep 60", "--job-name=moving", "--nodes=1-2", "--requeue")
    first = wait_for(queue, number, State.RUNNING)
    assert queue.names_of(first.nodes) == ["node1", "node2"]
    assert queue.address_of(first.nodes).startswith("127.")
    queue.requeue(number)
    wait_for(queue, number, State.PENDING)
    queue.exclude(number, ["node1"])
    again = wait_for(queue, number, State.RUNNING)
    assert (again.nodes, again.restarts) == ("node2", 1)


def test_a_controller_that_is_away_makes_nothing_known_and_nothing_lost(queue: Slurm, cluster: Cluster, tmp_path: Path) -> None:
    number = submit(queue, tmp_path, "sleep 60", "--job-name=lasting")
    wait_for(queue, number, State.RUNNING)
    cluster.stop_controller()
    asked: list[Callable[[], object]] = [
        lambda: queue.job(number), lambda: queue.named("lasting"), lambda: queue.cancel(number),
        lambda: submit(queue, tmp_path, "sleep 60", "--job-name=second"),
    ]  # fmt: skip
    with ThreadPoolExecutor() as threads:  # each waits for as long as Slurm waits for an answer
        errors = [future.exception() for future in [threads.submit(ask) for ask in asked]]
    assert [type(error) for error in errors] == [SchedulerUnreachable] * 4, errors
    cluster.start_controller()
    assert [job.number for job in queue.named("lasting")] == [number]
    assert queue.named("second") == []
