"""Workspaces with a journal to show in MLflow, real MLflow databases and servers, and what they show."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.processes import dying_with_parent
from infra.tracking.writer import tracked, tracking_environment

TIME = 1_700_000_000_000


def lines(first: int, end: int) -> str:
    return "".join(json.dumps({"step": n, "time": TIME + n, "loss": 9.0 - n}) + "\n" for n in range(first, end))


def workspace(home: Path, run: str, steps: int = 5) -> Path:
    """What a run leaves on disk, as far as the writer reads it."""
    folder = home / "runs" / run
    (folder / "journal").mkdir(parents=True)
    (folder / "params.yaml").write_text("train: {steps: 5, sources: [{name: a}, {name: b}]}\n", encoding="utf-8")
    (folder / "journal" / "train.metrics.jsonl").write_text(lines(0, steps))
    record = folder / "artifacts" / "records" / "pack"
    record.mkdir(parents=True)
    facts = {"stage": "pack", "output": {"path": "artifacts/pack", "sha256": "a" * 64}, "report": {"tokens": {"ja/*": 7}}}
    (record / "record.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def add_steps(folder: Path, first: int, end: int) -> None:
    with (folder / "journal" / "train.metrics.jsonl").open("a") as stream:
        stream.write(lines(first, end))


def send(folder: Path, flow_run: str = "") -> None:
    """What `martlet run` does for a run that has finished."""
    with tracked(folder, folder.name, flow_run):
        pass


def state_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "journal" / "tracking.json").read_text())
    return found


def log_of(folder: Path) -> str:
    return (folder / "journal" / "tracking.log").read_text()


def losses(client: Any, run_id: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, "train/loss")]


def expected(steps: int) -> list[tuple[int, float]]:
    return [(n, 9.0 - n) for n in range(steps)]


def until(holds: Callable[[], bool]) -> None:
    """Waits for what another process does."""
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "not within two minutes"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def start_mlflow(home: Path, port: int, database: Path) -> "subprocess.Popen[bytes]":
    """MLflow's server on a database, up."""
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(home / "mlartifacts")],
        cwd=home, env=tracking_environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=dying_with_parent(),  # noqa: PLW1509
    )  # fmt: skip
    until(lambda: is_up(port))
    return server


@contextmanager
def mlflow_server(home: Path) -> Iterator[int]:
    """MLflow's server on a database of its own; yields its port."""
    port = free_port()
    server = start_mlflow(home, port, home / "server.db")
    try:
        yield port
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
