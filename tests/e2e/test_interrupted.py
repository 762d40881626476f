"""`kill -9` and Ctrl-C at any moment, then the same command again: the same bytes, the same losses, nothing orphaned."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.params import STAGES
from tests.e2e.conftest import Clone
from tests.support.builders.tiny_recipe import add_tiny

DETERMINISTIC = STAGES[: STAGES.index("publish")]
STOPPING_SECONDS = 90
TRAINING = "components.train.loop.worker"


def digests(workspace: Path) -> dict[str, str]:
    """SHA-256 of every deterministic stage's output."""
    records = {s: workspace / "artifacts" / "records" / s / "record.json" for s in DETERMINISTIC}
    return {stage: json.loads(path.read_text())["output"]["sha256"] for stage, path in records.items()}


def losses(workspace: Path, stage: str) -> list[str]:
    """The loss curve, line by line."""
    return (workspace / "artifacts" / stage / "losses.jsonl").read_text().splitlines()


def processes(clone: Clone) -> dict[int, str]:
    """Every process that runs inside the clone's state or code, with its command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            where = (folder / "cwd").readlink()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if command and (where.is_relative_to(clone.home) or where.is_relative_to(clone.path)):
            found[int(folder.name)] = command
    return found


def wait_until_gone(clone: Clone) -> None:
    """Fails with the names of what is still there after a while."""
    deadline = time.monotonic() + STOPPING_SECONDS
    while left := processes(clone):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def wait_for_stage(clone: Clone, flow: "subprocess.Popen[str]", stage: str) -> None:
    """Waits until the stage's own process is there."""
    while not any(f"components {stage} " in command for command in processes(clone).values()):
        assert flow.poll() is None, flow.stdout.read() if flow.stdout else ""
        time.sleep(0.02)


def wait_for_steps(clone: Clone, flow: "subprocess.Popen[str]", stage: str, steps: int) -> None:
    """Waits until a training has made so many steps."""
    while sum(len(p.read_bytes().splitlines()) for p in clone.home.glob(f"runs/*/journal/{stage}.metrics.jsonl")) < steps:
        assert flow.poll() is None, flow.stdout.read() if flow.stdout else ""
        time.sleep(0.02)


def kill_flow_in(clone: Clone, stage: str, seconds: float) -> None:
    """`kill -9` of the flow so many seconds after the stage's process came up."""
    flow = clone.start("run", "tiny")
    wait_for_stage(clone, flow, stage)
    time.sleep(seconds)
    os.kill(flow.pid, signal.SIGKILL)
    flow.communicate()
    wait_until_gone(clone)


def kill_rank_in(clone: Clone, stage: str) -> None:
    """`kill -9` of one rank in the middle of a training: the flow ends, and says which rank was killed."""
    flow = clone.start("run", "tiny")
    wait_for_steps(clone, flow, stage, 5)
    rank = next(pid for pid, command in processes(clone).items() if TRAINING in command)
    os.kill(rank, signal.SIGKILL)
    output, _ = flow.communicate(timeout=300)
    assert flow.returncode == 1
    assert "was killed by SIGKILL" in output
    assert "Traceback" not in output.split("error:")[-1]
    wait_until_gone(clone)


def ctrl_c_in(clone: Clone, stage: str) -> None:
    """Ctrl-C in the middle of a training: all of it stops, with a checkpoint and without a traceback."""
    flow = clone.start("run", "tiny")
    wait_for_steps(clone, flow, stage, 5)
    os.kill(flow.pid, signal.SIGINT)
    output, _ = flow.communicate(timeout=STOPPING_SECONDS)
    assert flow.returncode == 130, output
    assert "Traceback" not in output
    wait_until_gone(clone)


@pytest.mark.parametrize("seed", [20240311, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))])
def test_stopped_at_many_moments_it_ends_with_the_bytes_of_an_undisturbed_run(
    undisturbed: Path, new_clone: Callable[[str], Clone], seed: int
) -> None:
    rough = new_clone("rough")
    add_tiny(rough)
    chance = random.Random(seed)
    kill_flow_in(rough, "collect", chance.uniform(0, 1))
    kill_flow_in(rough, "clean", chance.uniform(0, 2))
    ctrl_c_in(rough, "train_base")
    kill_rank_in(rough, "train")
    kill_flow_in(rough, "train", chance.uniform(5, 8))
    kill_flow_in(rough, "evaluate", chance.uniform(0, 2))

    done = rough.run("run", "tiny")
    assert done.returncode == 0, done.stdout
    assert len(rough.workspaces) == 1
    ours = rough.workspaces[0]
    assert digests(ours) == digests(undisturbed)
    for stage in ("train_base", "train"):
        assert losses(ours, stage) == losses(undisturbed, stage)
