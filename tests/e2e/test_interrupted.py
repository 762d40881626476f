"""`kill -9` at any moment, then the same command again: the same bytes, the same losses, nothing orphaned."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from components.params import STAGES
from tests.e2e.conftest import Clone
from tests.e2e.tiny import add_tiny

DETERMINISTIC = STAGES[: STAGES.index("publish")]
MOMENTS = ("collect", "clean", "train_base", "expand", "train", "evaluate")
STOPPING_SECONDS = 90
TRAINING = "components.train.worker"


def digests(clone: Clone) -> dict[str, str]:
    """SHA-256 of every deterministic stage's output."""
    (workspace,) = clone.workspaces
    records = {s: workspace / "artifacts" / "records" / s / "record.json" for s in DETERMINISTIC}
    return {stage: json.loads(path.read_text())["output"]["sha256"] for stage, path in records.items()}


def losses(clone: Clone, stage: str) -> list[str]:
    (workspace,) = clone.workspaces
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


def test_killed_at_many_moments_it_ends_with_the_bytes_of_an_undisturbed_run(new_clone: Callable[[str], Clone]) -> None:
    calm, rough = new_clone("calm"), new_clone("rough")
    for clone in (calm, rough):
        add_tiny(clone)
    done = calm.run("run", "tiny")
    assert done.returncode == 0, done.stdout

    chance = random.Random(20240311)
    for stage in MOMENTS:
        flow = rough.start("run", "tiny")
        wait_for_stage(rough, flow, stage)
        time.sleep(chance.uniform(0, 2))
        os.kill(flow.pid, signal.SIGKILL)
        flow.communicate()
        wait_until_gone(rough)

    flow = rough.start("run", "tiny")
    wait_for_steps(rough, flow, "train", 7)
    rank = next(pid for pid, command in processes(rough).items() if TRAINING in command)
    os.kill(rank, signal.SIGKILL)
    output, _ = flow.communicate(timeout=300)
    assert flow.returncode == 1
    assert "SIGKILL" in output
    assert "Traceback" not in output.split("error:")[-1]
    wait_until_gone(rough)

    done = rough.run("run", "tiny")
    assert done.returncode == 0, done.stdout
    assert digests(rough) == digests(calm)
    for stage in ("train_base", "train"):
        assert losses(rough, stage) == losses(calm, stage)


def test_ctrl_c_stops_everything_and_the_same_command_goes_on(new_clone: Callable[[str], Clone]) -> None:
    clone = new_clone("stopped")
    add_tiny(clone)
    flow = clone.start("run", "tiny")
    wait_for_steps(clone, flow, "train_base", 2)
    os.kill(flow.pid, signal.SIGINT)
    output, _ = flow.communicate(timeout=STOPPING_SECONDS)
    assert flow.returncode == 130, output
    assert "Traceback" not in output
    wait_until_gone(clone)
    done = clone.run("run", "tiny")
    assert done.returncode == 0, done.stdout
    assert "going on from" in done.stdout
