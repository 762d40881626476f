"""The tiny recipe with a cluster: the numbers of this machine, whatever becomes of the flow meanwhile, and no job too many."""

import json
import os
import random
import secrets
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.deploy.cluster.cluster import Cluster
from infra.scheduler.jobs import Job
from infra.slurm.jobs import State, read_scontrol
from tests.e2e.conftest import Clone, make_clone
from tests.e2e.test_form import served
from tests.e2e.test_interrupted import losses, wait_for_steps
from tests.e2e.test_mistakes import refused
from tests.support.builders.tiny_recipe import add_tiny

MANY_CYCLES = int(os.environ.get("MARTLET_CYCLES", "20"))
MANY = pytest.param(MANY_CYCLES, id="many", marks=[pytest.mark.long, pytest.mark.timeout(1200 + 60 * MANY_CYCLES)])
LONGEST_LIFE_SECONDS = float(os.environ.get("MARTLET_CYCLE_SECONDS", "25"))
"""Of a flow that is killed at a random moment; about as long as it takes from its start to the end of a training."""
JOBS = ("clean", "pack_base", "train_base", "pack", "train", "evaluate")
CANCEL_SECONDS = 10.0
PATIENCE_SECONDS = 180.0
RELATIVE = 5e-4
"""Four ranks add gradients up in another order than two; a dozen steps make 3e-5 of that."""
NAMES = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MARTLET_PASSWORD", "MARTLET_OTHER")
SECRETS = {name: secrets.token_hex(20) for name in NAMES}
"""Made up anew each time: workspaces hold this very file."""


@dataclass
class Orchestrator(Clone):
    """A clone whose stages are jobs."""

    cluster: Cluster

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**{"MARTLET_SITE": "slurm-dev", **self.cluster.environment(), **more})

    def jobs(self, stage: str) -> list[Job]:
        """All jobs of a stage that were ever submitted from here, oldest first."""
        lines = self.cluster.command("scontrol", "show", "job", "--oneliner").splitlines()
        jobs = [read_scontrol(line) for line in lines if f" WorkDir={self.home}/runs/" in line]
        return sorted((job for job in jobs if job.name.startswith(f"martlet-{stage}-")), key=lambda job: job.number)

    def mlflow_runs(self, run: str) -> list[str]:
        """The states of the MLflow runs that follow a run."""
        query = "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE key = 'martlet.run' AND value = ?"
        with closing(sqlite3.connect(self.home / "mlflow.db")) as database:
            return [status for (status,) in database.execute(query, [run])]


@pytest.fixture(scope="module")
def first(cluster: Cluster, downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Orchestrator:
    """Where all of it was computed by jobs, undisturbed, with secrets in the environment."""
    clone = make_clone(tmp_path_factory.mktemp("slurm"), downloads)
    add_tiny(clone)
    orchestrator = Orchestrator(clone.path, clone.home, cluster)
    done = orchestrator.run("run", "tiny", **SECRETS)
    assert done.returncode == 0, done.stdout
    return orchestrator


@pytest.fixture
def untrained(first: Orchestrator, tmp_path: Path) -> Orchestrator:
    """The same in a home of its own, whose cache has all but the training and what follows."""
    home = tmp_path / "home"
    shutil.copytree(first.home / "cache", home / "cache", copy_function=os.link)
    for path in (home / "cache" / "runs").glob("*/*/*"):
        if any(f"components {stage} " in path.read_text() for stage in ("train", "evaluate", "publish")):
            shutil.rmtree(path.parent)
    (home / "downloads").symlink_to((first.home / "downloads").readlink())
    return Orchestrator(first.path, home, first.cluster)


def record(workspace: Path, stage: str) -> Any:
    return json.loads((workspace / "artifacts" / "records" / stage / "record.json").read_text(encoding="utf-8"))


def wait_until(is_so: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_no_secret_of_the_environment_is_written_anywhere(first: Orchestrator) -> None:
    words = {word.encode() for word in SECRETS.values()}
    witness = first.workspaces[0].name.encode()
    holding: dict[bytes, list[Path]] = {}
    for folder in (first.home, first.cluster.folder):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            for word in (word for word in (*words, witness) if word in content):
                holding.setdefault(word, []).append(path)
    assert {folder for folder in (first.home, first.cluster.folder) for path in holding[witness] if folder in path.parents}
    assert not words & holding.keys(), holding


def test_jobs_compute_what_this_machine_computes(first: Orchestrator, undisturbed: Path) -> None:
    (ours,) = first.workspaces
    for stage in JOBS:
        assert [job.state for job in first.jobs(stage)] == [State.COMPLETED], stage
        script = ours / "artifacts" / "records" / stage / "job" / "job.sbatch"
        assert f"#SBATCH --job-name=martlet-{stage}-" in script.read_text(encoding="utf-8")
    assert record(ours, "train")["site"] == "slurm-dev"
    assert [job.nodes for job in first.jobs("clean")] == ["node[1-2]"]
    for stage in ("collect", "clean", "pack_base", "pack"):
        assert record(ours, stage)["output"] == record(undisturbed, stage)["output"]
    for name in ("tokenizer.model", "tokenizer.json"):
        here, there = ((workspace / "artifacts" / "expand" / name).read_bytes() for workspace in (ours, undisturbed))
        assert here == there
    for stage in ("train_base", "train"):
        here, there = ([json.loads(line)["loss"] for line in losses(workspace, stage)] for workspace in (ours, undisturbed))
        assert here == pytest.approx(there, rel=RELATIVE)
    for key in ("base_bits_per_byte", "model_bits_per_byte"):
        here, there = (record(workspace, "evaluate")["report"][key] for workspace in (ours, undisturbed))
        assert here == pytest.approx(there, rel=RELATIVE)


@pytest.mark.parametrize("cycles", [2, MANY])
def test_a_flow_killed_at_any_moment_finds_its_job_again(first: Orchestrator, untrained: Orchestrator, cycles: int) -> None:
    chance, values = random.Random(20240311), ["run", "tiny"]
    flow = untrained.start(*values)
    wait_for_steps(untrained, flow, "train", 4)
    (job,) = untrained.jobs("train")
    with paused(untrained, job):
        os.kill(flow.pid, signal.SIGKILL)
        flow.communicate()
        flow = untrained.start(*values)
        assert flow.stdout is not None
        assert any(f"job {job.number} computes this already" in line for line in flow.stdout)
    for seed in range(1, cycles):
        try:
            output, _ = flow.communicate(timeout=chance.uniform(0, LONGEST_LIFE_SECONDS))
        except subprocess.TimeoutExpired:
            os.kill(flow.pid, signal.SIGKILL)
            flow.communicate()
        else:
            assert flow.returncode == 0, output
            # not the seed, which changes no result, so that an evaluation would be found in the cache
            values = ["run", "tiny", "--set", f"train.learning_rate={1e-3 + seed * 1e-6:.6f}"]
        flow = untrained.start(*values)
    output, _ = flow.communicate(timeout=900)
    assert flow.returncode == 0, output

    (undisturbed,), fingerprint = first.workspaces, record(first.workspaces[0], "train")["fingerprint"]
    (same,) = (workspace for workspace in untrained.workspaces if record(workspace, "train")["fingerprint"] == fingerprint)
    assert losses(same, "train") == losses(undisturbed, "train")
    for stage in ("train", "evaluate"):
        jobs = untrained.jobs(stage)
        assert [(job.state, job.restarts) for job in jobs] == [(State.COMPLETED, 0)] * len(untrained.workspaces)
        assert len({job.name for job in jobs}) == len(jobs)
    for workspace in untrained.workspaces:
        assert untrained.mlflow_runs(workspace.name) == ["FINISHED"]


@contextmanager
def paused(orchestrator: Orchestrator, job: Job) -> Iterator[None]:
    """Holds a job's processes while the block runs."""
    orchestrator.cluster.command("scontrol", "suspend", str(job.number))
    wait_until(lambda: orchestrator.jobs("train")[-1].state is State.SUSPENDED)
    try:
        yield
    finally:
        orchestrator.cluster.command("scontrol", "resume", str(job.number))


def test_a_cancelled_job_is_gone_and_two_runs_share_the_next(first: Orchestrator, untrained: Orchestrator) -> None:
    with contextmanager(served)(untrained) as pages:
        addresses = {"PREFECT_API_URL": f"{pages.prefect}/api", "MLFLOW_TRACKING_URI": pages.mlflow}
        flow = untrained.start("run", "tiny", **addresses)
        wait_for_steps(untrained, flow, "train", 4)
        with cancelled(untrained):
            os.kill(flow.pid, signal.SIGINT)
        output, _ = flow.communicate(timeout=60)
        assert flow.returncode == 130, output
        assert "Traceback" not in output

        _, queued = pages.submit(recipe="tiny", reference="HEAD")
        wait_until(lambda: [job.state for job in untrained.jobs("train")] == [State.CANCELLED, State.RUNNING])
        with cancelled(untrained):
            pages.call("POST", f"/flow_runs/{queued['id']}/set_state", {"state": {"type": "CANCELLING"}})
        assert pages.finished(queued["id"])["state_type"] == "CANCELLED"

        flows = [untrained.start("run", "tiny", *more, **addresses) for more in ((), ("--set", "publish.title=Another"))]
        outputs = [flow.communicate(timeout=900)[0] for flow in flows]
    assert [flow.returncode for flow in flows] == [0, 0], "\n\n".join(outputs)
    assert sum("resuming from step-" in output for output in outputs) == 1, "\n\n".join(outputs)
    assert [job.state for job in untrained.jobs("train")] == [State.CANCELLED, State.CANCELLED, State.COMPLETED]
    assert [job.state for job in untrained.jobs("evaluate")] == [State.COMPLETED]
    for workspace in untrained.workspaces:
        assert losses(workspace, "train") == losses(first.workspaces[0], "train")
        metrics = (workspace / "artifacts" / "records" / "train" / "metrics.jsonl").read_text().splitlines()
        assert len(metrics) == len(losses(workspace, "train"))


@contextmanager
def cancelled(orchestrator: Orchestrator) -> Iterator[None]:
    """The training's job is there, and gone soon after the block."""
    assert orchestrator.jobs("train")[-1].state is State.RUNNING
    yield
    wait_until(lambda: not orchestrator.jobs("train")[-1].living, CANCEL_SECONDS)


def test_a_mistake_that_a_job_finds_reads_as_on_this_machine(untrained: Orchestrator) -> None:
    mistake, local = ("run", "tiny", "--set", "clean.minimum_characters=100000000"), Clone(untrained.path, untrained.home)
    here, there = (clone.run(*mistake).stdout.rpartition("error: ")[2] for clone in (local, untrained))
    assert "minimum_characters" in here
    assert there == here


def test_a_site_that_cannot_work_is_refused_before_anything_is_computed(
    new_clone: Callable[[str], Clone], cluster: Cluster, tmp_path: Path
) -> None:
    odd, path = new_clone("odd"), tmp_path / "path"
    add_tiny(odd)
    path.mkdir()
    for name in ("git", "bash"):
        (path / name).symlink_to(shutil.which(name) or "")
    done = odd.run("run", "tiny", MARTLET_SITE="slurm-dev", PATH=str(path))
    refused(done, "sbatch", "not on PATH", "MARTLET_SITE")

    site = (odd.path / "infra" / "sites" / "slurm-dev.yaml").read_text(encoding="utf-8")
    changed = site.replace("{partition: low", "{partition: lowest")
    (odd.path / "infra" / "sites" / "odd.yaml").write_text(changed, encoding="utf-8")
    done = odd.run("run", "tiny", MARTLET_SITE="odd", **cluster.environment())
    refused(done, "odd.yaml", "invalid partition specified: lowest", "slurm.stages.clean.partition", "sinfo")
    changed = site.replace("walltime_minutes: 30", "walltime_minutes: 12960")
    (odd.path / "infra" / "sites" / "odd.yaml").write_text(changed, encoding="utf-8")
    done = odd.run("run", "tiny", MARTLET_SITE="odd", **cluster.environment())
    refused(done, "odd.yaml", "12,960 minutes are above the 1,440 of partition low", "walltime_minutes")
    assert not any((workspace / "artifacts").exists() for workspace in odd.workspaces)
