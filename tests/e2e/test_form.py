"""A run started through the deployment's form, by the API that the page uses: refused or finished, and shown by MLflow."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.params import STAGES
from tests.e2e.conftest import Clone
from tests.e2e.test_interrupted import wait_until_gone

RUN_SECONDS = 300


@dataclass
class Pages:
    """The two servers' addresses."""

    clone: Clone
    prefect: str
    mlflow: str

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and answer of Prefect's API."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.prefect}/api{path}", data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def submit(self, **request: object) -> tuple[int, Any]:
        """Sends the form."""
        _, deployment = self.call("GET", "/deployments/name/pretrain/form")
        return self.call("POST", f"/deployments/{deployment['id']}/create_flow_run", {"parameters": {"request": request}})

    def finished(self, flow_run: str) -> Any:
        """The flow run, when it has ended."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            _, run = self.call("GET", f"/flow_runs/{flow_run}")
            if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return run
            time.sleep(0.5)
        raise AssertionError((self.clone.home / "ui" / "worker.log").read_text())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def pages(tiny: Clone) -> Iterator[Pages]:
    prefect, mlflow = free_port(), free_port()
    process = tiny.start("ui", "--prefect-port", str(prefect), "--mlflow-port", str(mlflow))
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C stops" in line:
            break
    else:
        raise AssertionError("martlet ui ended before it was up")
    yield Pages(tiny, f"http://127.0.0.1:{prefect}", f"http://127.0.0.1:{mlflow}")
    os.kill(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 130
    wait_until_gone(tiny)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"recipe": "swallow-xx"}, "recipe"),
        ({"recipe": "tiny", "overrides": {"train": {"learning_rate": 3}}}, "learning_rate"),
        ({"recipe": "tiny", "overrides": {"train": {"lerning_rate": 0.1}}}, "lerning_rate"),
        ({"recipe": "tiny", "values": ["no assignment"]}, "values"),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_queued(pages: Pages, request_: dict[str, Any], words: str) -> None:
    _, before = pages.call("POST", "/flow_runs/count", {})
    status, answer = pages.submit(**request_)
    assert status == 409
    assert words in answer
    assert pages.call("POST", "/flow_runs/count", {})[1] == before


def test_a_run_from_the_form_finishes_and_both_pages_show_it(pages: Pages) -> None:
    status, queued = pages.submit(recipe="tiny", reference="HEAD", values=["evaluate.heldout_characters=1500"])
    assert status == 201
    run = pages.finished(queued["id"])
    assert run["state_type"] == "COMPLETED", run["state"]
    assert run["name"].startswith("tiny-")

    of_run = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    _, tasks = pages.call("POST", "/task_runs/filter", of_run)
    assert [task["name"] for task in sorted(tasks, key=lambda task: task["start_time"])] == list(STAGES)
    _, artifacts = pages.call("POST", "/artifacts/filter", of_run)
    (summary,) = [artifact for artifact in artifacts if artifact["key"] == "summary"]
    assert summary["type"] == "markdown"
    assert "bits per byte" in summary["data"]
    shown_by_mlflow(pages, run)


def shown_by_mlflow(pages: Pages, run: Any) -> None:
    """One run with parameters, loss curve, datasets with digests, and the evaluation's table."""
    import mlflow

    client = mlflow.MlflowClient(pages.mlflow)
    experiment = client.get_experiment_by_name("tiny")
    found = client.search_runs([experiment.experiment_id], f"tags.`martlet.run` = '{run['name']}'")
    assert len(found) == 1
    (shown,) = found
    assert shown.info.status == "FINISHED"
    assert shown.data.tags["prefect.flow_run_id"] == run["id"]
    assert shown.data.params["evaluate.heldout_characters"] == "1500"
    workspace = next(w for w in pages.clone.workspaces if w.name == run["name"])
    losses = [json.loads(line)["loss"] for line in (workspace / "artifacts/train/losses.jsonl").read_text().splitlines()]
    curve = sorted(client.get_metric_history(shown.info.run_id, "train/loss"), key=lambda point: point.step)
    assert [point.value for point in curve] == losses
    record = json.loads((workspace / "artifacts/records/pack/record.json").read_text())
    digests = {entry.dataset.name: entry.dataset.digest for entry in shown.inputs.dataset_inputs}
    assert digests["pack"] == record["output"]["sha256"][:32]
    files = {file.path for file in client.list_artifacts(shown.info.run_id, "evaluate")}
    assert {"evaluate/table.json", "evaluate/scores.png"} <= files
    assert Path(workspace / "summary.md").exists()
