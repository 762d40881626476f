"""The test cluster behaves as a cluster does: GPUs, preemption, dead nodes, a controller that goes and comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.errors import ParameterError, ServiceError
from infra.deploy.cluster.cluster import Cluster
from infra.deploy.cluster.configuration import ClusterShape
from infra.scheduler.errors import SchedulerUnreachable
from infra.slurm.commands import Slurm
from infra.slurm.jobs import State
from tests.support.cluster import living, submit, wait_for, wait_until

FOR_EVER = "while :; do sleep 0.1; done"


@pytest.fixture
def other() -> Iterator[Cluster]:
    """A second cluster, which gives a silent node up soon."""
    yield from living(ClusterShape(gpus=0, node_timeout_seconds=5, message_seconds=2))


def test_a_job_has_two_nodes_with_two_tasks_and_two_gpus_each(queue: Slurm, tmp_path: Path) -> None:
    rank = "srun sh -c 'echo $SLURM_PROCID $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES'"
    number = submit(queue, tmp_path, rank, "--nodes=2", "--ntasks-per-node=2", "--gpus-per-node=2")
    assert wait_for(queue, number, State.COMPLETED, State.FAILED).state is State.COMPLETED
    ranks = sorted((tmp_path / f"{number}.log").read_text().splitlines())
    assert ranks == ["0 node1 0,1", "1 node1 0,1", "2 node2 0,1", "3 node2 0,1"]


def test_a_job_of_high_sends_one_of_low_its_signal_and_back_into_the_queue(queue: Slurm, tmp_path: Path) -> None:
    rank = tmp_path / "rank.sh"
    rank.write_text(f"trap 'echo asked to end; exit 0' USR2; touch {tmp_path}/started.$SLURM_PROCID; {FOR_EVER}")
    task = f"srun sh {rank} && scontrol requeue $SLURM_JOB_ID && sleep 30"
    low = submit(queue, tmp_path, task, "--nodes=2", "--exclusive", "--signal=USR2@60", "--requeue", "--open-mode=append")
    wait_until(lambda: len(list(tmp_path.glob("started.*"))) == 2)
    high = submit(queue, tmp_path, "true", "--partition=high", "--exclusive")
    assert wait_for(queue, low, State.PENDING).restarts == 1
    assert "asked to end" in (tmp_path / f"{low}.log").read_text()
    wait_for(queue, high, State.COMPLETED)


def test_a_dead_node_is_noticed_its_job_requeued_and_the_node_taken_back(other: Cluster, tmp_path: Path) -> None:
    queue = Slurm(other.configuration)
    number = submit(queue, tmp_path, f"srun sh -c '{FOR_EVER}'", "--nodes=2", "--requeue")
    wait_until(lambda: len([m for m in other.processes(SLURMD_NODENAME="node2") if m.name == "sh"]) == 1)
    other.kill_node("node2")
    assert not other.processes(SLURMD_NODENAME="node2")
    assert wait_for(queue, number, State.PENDING).restarts == 1
    assert other.node_state("node2") == "DOWN+NOT_RESPONDING"
    other.start_node("node2")
    assert other.node_state("node2") == "IDLE"


def test_a_job_outlives_the_controller(cluster: Cluster, queue: Slurm, tmp_path: Path) -> None:
    number = submit(queue, tmp_path, f"until [ -e {tmp_path}/end ]; do sleep 0.1; done")
    wait_for(queue, number, State.RUNNING)
    cluster.stop_controller()
    with pytest.raises(SchedulerUnreachable):
        queue.named("job.sh")
    cluster.start_controller()
    job = queue.job(number)
    assert job is not None
    assert (job.state, job.restarts) == (State.RUNNING, 0)
    (tmp_path / "end").touch()
    wait_for(queue, number, State.COMPLETED)


def test_two_clusters_live_side_by_side_and_stop_leaves_no_process(queue: Slurm, other: Cluster, tmp_path: Path) -> None:
    beside = Slurm(other.configuration)
    here = submit(queue, tmp_path, FOR_EVER)
    submit(beside, tmp_path, f"setsid sh -c '{FOR_EVER}' &\nsrun sh -c '{FOR_EVER}'", "--nodes=2", "--requeue")
    wait_for(queue, here, State.RUNNING)
    wait_until(lambda: len([m for m in other.processes() if m.name == "sh"]) == 3)
    found = other.processes()
    other.stop()
    assert not [m.pid for m in found if Path(f"/proc/{m.pid}/exe").exists()]  # what ended has none, reaped or not
    assert not other.configuration.exists()
    job = queue.job(here)
    assert job is not None
    assert job.state is State.RUNNING


def test_a_living_cluster_is_left_alone_and_keeps_its_shape(cluster: Cluster, queue: Slurm) -> None:
    before = {(m.pid, m.name) for m in cluster.processes()}
    cluster.start()
    assert {(m.pid, m.name) for m in cluster.processes()} == before
    with pytest.raises(ServiceError, match="another shape"):
        Cluster(cluster.folder, ClusterShape(nodes=3)).start()
    cluster.command("scontrol", "update", "NodeName=node1", "State=DOWN", "Reason=test")
    assert cluster.node_state("node1") == "DOWN"
    cluster.start()
    assert cluster.node_state("node1") == "IDLE"


def test_a_daemon_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/job_state").write_text("no state of Slurm's")
    cluster = Cluster(tmp_path, ClusterShape(nodes=1))
    try:
        with pytest.raises(ServiceError, match=r"(?s)slurmctld ended.*slurmctld.log:\n.*job state"):
            cluster.start()
    finally:
        cluster.stop()
    assert not cluster.processes()


def test_a_folder_that_slurm_cannot_read_the_name_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="' ' means something"):
        Cluster(tmp_path / "a folder", ClusterShape())
