"""A Slurm cluster for the tests of a session: real daemons in a folder of their own."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.deploy.cluster.cluster import Cluster
from infra.deploy.cluster.configuration import ClusterShape
from infra.deploy.cluster.installation import install
from infra.scheduler.jobs import Job
from infra.slurm.commands import Slurm
from infra.slurm.jobs import State

SHAPE = ClusterShape(message_seconds=4)
SECONDS = 40.0
"""The time limit for anything that a cluster does."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two nodes of 8 CPUs and 2 GPUs. Installs Slurm if it is missing; if that fails, so do the tests."""
    install()
    yield from living(SHAPE)


@pytest.fixture
def queue(cluster: Cluster) -> Iterator[Slurm]:
    """The commands of a cluster whose queue is empty before and after the test; its daemons are started again afterwards."""
    yield Slurm(cluster.configuration)
    cluster.start()
    cluster.empty()
    assert cluster.is_empty(), "jobs outlived their test"


def living(shape: ClusterShape) -> Iterator[Cluster]:
    """A cluster until the generator is closed."""
    folder = Path(tempfile.mkdtemp(prefix="martlet-cluster-"))
    cluster = Cluster(folder, shape)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)


def submit(queue: Slurm, folder: Path, text: str, *options: str) -> int:
    """Submits a batch script of these lines; what it prints goes to `<folder>/<number>.log`."""
    script = folder / "job.sh"
    directives = [f"#SBATCH {option}" for option in (f"--output={folder}/%j.log", *options)]
    script.write_text("\n".join(["#!/bin/sh", *directives, text, ""]), encoding="utf-8")
    return queue.submit(script, "train")


def wait_for(queue: Slurm, number: int, *states: State) -> Job:
    """The job once it is in one of these states."""
    seen: list[Job] = []

    def is_there() -> bool:
        job = queue.job(number)
        seen[:] = [job] if job else []
        return job is not None and job.state in states

    wait_until(is_there, lambda: f"{seen or number}, not one of {', '.join(states)}")
    return seen[0]


def wait_until(is_so: Callable[[], bool], otherwise: Callable[[], str] = str) -> None:
    """Waits until `is_so`; fails with a message if that takes longer than `SECONDS`."""
    until = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < until, otherwise()
        time.sleep(0.1)
