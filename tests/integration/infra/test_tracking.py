"""MLflow is a view: several writers on a new database, nothing twice, nothing that a name could break."""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.train.metrics import MetricsFile
from infra.tracking.writer import is_complete, tracking_environment

ROOT = Path(__file__).parents[3]
STEPS = 5
OUTAGE_SECONDS = 5.0  # the writer tries every two


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARTLET_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def workspace(home: Path, run: str) -> Path:
    """What a run leaves on disk, as far as the writer reads it."""
    folder = home / "runs" / run
    (folder / "journal").mkdir(parents=True)
    (folder / "params.yaml").write_text("train: {steps: 5, sources: [{name: a}, {name: b}]}\n", encoding="utf-8")
    lines = [{"step": n, "time": 1_700_000_000_000 + n, "loss": 9.0 - n} for n in range(STEPS)]
    (folder / "journal" / "train.metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = folder / "artifacts" / "records" / "pack"
    record.mkdir(parents=True)
    facts = {"stage": "pack", "output": {"path": "artifacts/pack", "sha256": "a" * 64}, "report": {"tokens": {"ja/*": 7}}}
    (record / "record.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "infra.tracking.worker", str(folder), folder.name, "a-flow-run"], cwd=ROOT, text=True,
        env=tracking_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )


def finish(writer: "subprocess.Popen[str]") -> None:
    output, _ = writer.communicate("FINISHED", timeout=120)
    assert writer.returncode == 0, output


def shown(home: Path, run: str) -> Any:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id], f"tags.`martlet.run` = '{run}'")
    return found, client.get_metric_history(found.info.run_id, "train/loss")


def test_two_writers_on_a_new_database_both_show_their_run_once_even_when_sent_again(home: Path) -> None:
    folders = [workspace(home, "tiny-11111111"), workspace(home, "tiny-22222222")]
    writers = [start(folder) for folder in folders]
    for writer in writers:
        finish(writer)
    (folders[0] / "journal" / "tracking.json").unlink()  # as if how far it came had been lost: all is sent again
    assert is_complete(folders[1])
    assert not is_complete(folders[0])
    finish(start(folders[0]))
    assert is_complete(folders[0])
    for folder in folders:
        run, curve = shown(home, folder.name)
        assert run.info.status == "FINISHED"
        assert run.data.params["train.sources.1.name"] == "b"
        assert run.data.metrics["pack/tokens.ja/_"] == 7
        assert [(point.step, point.value) for point in curve] == [(n, 9.0 - n) for n in range(STEPS)]
        assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == ["a" * 32]
        assert (folder / "journal" / "mlflow_run").read_text() == run.info.run_id
    assert not (ROOT / "mlruns").exists()


def serve(home: Path, port: int) -> "subprocess.Popen[bytes]":
    """MLflow's server on the database of `home`, up."""
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"],
        cwd=home, env=tracking_environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until(lambda: is_up(port))
    return server


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def until(holds: Callable[[], bool]) -> None:
    """Waits for what another process does."""
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "not within two minutes"
        time.sleep(0.05)


class FakeTraining(threading.Thread):
    """Appends a line every few milliseconds, as the trainer does, until it is told to stop; notes how long each took."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.file, self.path, self.stop = MetricsFile(path), path, threading.Event()
        self.seconds: list[float] = []

    def run(self) -> None:
        while not self.stop.wait(0.01):
            step, begin = len(self.seconds), time.perf_counter()
            loss = float(step)
            self.file.add({"step": step, "time": 1_700_000_000_000 + step, "loss": loss, "source_loss": {"ja/*": loss}})
            self.seconds.append(time.perf_counter() - begin)


def test_a_server_killed_while_a_model_trains_costs_no_point_and_holds_no_step_up(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    folder = home / "runs" / "tiny-33333333"
    (folder / "journal").mkdir(parents=True)
    (folder / "params.yaml").write_text("train: {steps: 5}\n", encoding="utf-8")
    server, state = serve(home, port), folder / "journal" / "tracking.json"
    training = FakeTraining(folder / "journal" / "train.metrics.jsonl")
    training.start()
    writer = start(folder)

    def sent() -> int:
        return int(json.loads(state.read_text())["offsets"].get("train", 0)) if state.exists() else 0

    try:
        until(lambda: sent() > 0)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        reached, before = training.path.stat().st_size, len(training.seconds)
        time.sleep(OUTAGE_SECONDS)
        assert sent() <= reached
        during = training.seconds[before:]
        server = serve(home, port)
        until(lambda: sent() > reached)
        training.stop.set()
        training.join()
        finish(writer)
    finally:
        training.stop.set()
        writer.kill()
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert len(during) > 100
    assert statistics.median(during) < 5 * statistics.median(training.seconds[:before])
    run, _ = shown(home, folder.name)
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    for name in ("train/loss", "train/source_loss.ja/_"):
        curve = client.get_metric_history(run.info.run_id, name)
        assert [(point.step, point.value) for point in curve] == [(n, float(n)) for n in range(len(training.seconds))]
    assert len(client.search_runs([run.info.experiment_id])) == 1
