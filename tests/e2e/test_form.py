"""A run started through the deployment's form, by the API that the page uses: refused or finished, and shown by MLflow."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.params import STAGES
from infra.servers.clients import asking_mlflow, asking_prefect
from infra.servers.secret import authorization, secret_of
from tests.e2e.conftest import Clone
from tests.e2e.test_interrupted import STOPPING_SECONDS, wait_until_gone

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
        headers = {"content-type": "application/json", "authorization": authorization(secret_of(self.clone.home))}
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
    yield from served(tiny)


def served(clone: Clone) -> Iterator[Pages]:
    """`martlet ui` until the generator is closed."""
    prefect, mlflow = free_port(), free_port()
    process = clone.start("ui", "--prefect-port", str(prefect), "--mlflow-port", str(mlflow))
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C stops" in line:
            break
    else:
        raise AssertionError("martlet ui ended before it was up")
    try:
        yield Pages(clone, f"http://127.0.0.1:{prefect}", f"http://127.0.0.1:{mlflow}")
    finally:
        os.kill(process.pid, signal.SIGINT)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 130
    wait_until_gone(clone)


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


def test_a_run_from_the_form_finishes_and_both_pages_show_it(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
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
    (bar,) = [artifact for artifact in artifacts if artifact["key"] == f"{run['name']}-evaluate"]
    assert (bar["type"], bar["data"]) == ("progress", 100)
    assert f"[MLflow]({pages.mlflow}/#/experiments/" in bar["description"]
    shown_by_mlflow(pages, run, monkeypatch)


def test_what_a_run_wrote_is_its_owners_alone_but_for_dvcs_objects_in_a_closed_folder(pages: Pages) -> None:
    assert pages.clone.home.stat().st_mode & 0o777 == 0o700
    written = [path for path in pages.clone.home.rglob("*") if not path.is_symlink()]
    reached = {path for path in written if path.stat().st_mode & 0o077}
    assert [path for path in reached if path.is_dir() or path.stat().st_mode & 0o777 != 0o444] == []


def test_a_run_of_a_shell_ends_when_it_is_cancelled_on_the_page(pages: Pages) -> None:
    addresses = {"PREFECT_API_URL": f"{pages.prefect}/api", "MLFLOW_TRACKING_URI": pages.mlflow}
    flow = pages.clone.start("run", "tiny", "--set", "train.seed=77", **addresses)
    running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
    while not (found := pages.call("POST", "/flow_runs/filter", running)[1]):
        assert flow.poll() is None, flow.stdout.read() if flow.stdout else ""
        time.sleep(0.1)
    (run,) = found
    pages.call("POST", f"/flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING"}})
    output, _ = flow.communicate(timeout=STOPPING_SECONDS)
    assert flow.returncode == 130, output
    assert "Traceback" not in output
    assert pages.finished(run["id"])["state_type"] == "CANCELLED"


def shown_by_mlflow(pages: Pages, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run with parameters, loss curve, datasets with digests, and the evaluation's table."""
    import mlflow

    for name, value in asking_mlflow({}, pages.clone.home, pages.mlflow).items():
        monkeypatch.setenv(name, value)
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


def test_runs_of_dead_processes_are_called_crashed_by_automations_that_exist_once(pages: Pages) -> None:
    """One process is killed here; of another run the server knows no heartbeat, as after an outage of its own."""
    before = pages.call("POST", "/automations/filter", {})[1]
    _, flow = pages.call("GET", "/flows/name/pretrain")
    _, forgotten = pages.call("POST", "/flow_runs/", {"flow_id": flow["id"], "state": {"type": "RUNNING"}})
    api = {"PREFECT_API_URL": f"{pages.prefect}/api"}
    again = "import asyncio, datetime, pathlib, flows.ui.deployment as d; " \
            "asyncio.run(d.register(pathlib.Path.cwd(), datetime.timedelta(seconds=12)))"
    environment = asking_prefect(pages.clone.environment(), pages.clone.home, api["PREFECT_API_URL"])
    subprocess.run([sys.executable, "-c", again], cwd=pages.clone.path, env=environment, check=True)
    after = pages.call("POST", "/automations/filter", {})[1]
    assert len(before) == 2
    assert {(a["id"], a["trigger"]["within"]) for a in after} == {(b["id"], 12.0) for b in before}

    process = pages.clone.start("run", "tiny", "--set", "evaluate.heldout_characters=1400", **api)
    killed = wait_for(lambda: beating(pages, forgotten["id"]))
    process.kill()
    process.communicate()
    for flow_run in (killed, forgotten["id"]):
        run = pages.finished(flow_run)
        assert run["state_type"] == "CRASHED"
        assert "nothing was heard of this run" in run["state"]["message"]


def beating(pages: Pages, besides: str) -> str:
    """The run that has sent a heartbeat and has not ended; empty where there is none."""
    heartbeats = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}}}
    events = pages.call("POST", "/events/filter", heartbeats)[1]["events"]
    names = {event["resource"]["prefect.resource.id"].removeprefix("prefect.flow-run.") for event in events} - {besides}
    return next((name for name in names if pages.call("GET", f"/flow_runs/{name}")[1]["state_type"] == "RUNNING"), "")


def wait_for(found: Callable[[], str]) -> str:
    """What it finds, once it does."""
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        if name := found():
            return name
        time.sleep(0.3)
    raise AssertionError(f"nothing in {RUN_SECONDS} s")
