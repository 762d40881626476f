"""A run's history on a server: credentials, refusals, strangers at the address, outages, and proxies that loopback avoids."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.tracking import writer
from infra.tracking.writer import is_complete, tracked
from tests.support.fronts import Front, fronted, recording_proxy
from tests.support.histories import add_steps, expected, log_of, losses, mlflow_server, send, state_of, until, workspace

RUN = "tiny-44444444"
PASSWORD = "hunter2-öffne dich"  # noqa: S105  (of the test's own server)
QUOTED = "hunter2-%C3%B6ffne%20dich"

FAULTS = {
    "401": "it refuses the credentials, or lacks them (401). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "403": "it refuses the user (403)",
    "404": "what answers there is not MLflow. MLFLOW_TRACKING_URI is to be the server's root (404)",
    "login page": "what answers there is not MLflow",
    "500": "its server fails (500). Its own log says why",
    "503": "its server fails (503)",
    "hang": "it does not answer in time",
    "cut": "it is away. Start it",
}


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """MLflow's server: its port, and its database."""
    home = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARTLET_HOME", str(home))
        with mlflow_server(home) as port:
            yield port, home / "server.db"


@pytest.fixture
def front(upstream: tuple[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """What stands before that server, and is the MLflow in force."""
    monkeypatch.setenv("MARTLET_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with fronted(upstream[0]) as front:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{front.port}/")
        yield front


def shown(upstream: tuple[int, Path], folder: Path) -> Any:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{upstream[1]}")
    run_id = (folder / "journal" / "mlflow_run").read_text()
    return client.get_run(run_id), losses(client, run_id)


def test_each_fault_of_a_server_is_named_and_all_points_arrive_when_it_is_over(
    front: Front, upstream: tuple[int, Path], tmp_path: Path
) -> None:
    folder = workspace(tmp_path, RUN, steps=1)
    with tracked(folder, RUN, "a-flow-run"):
        until(lambda: (folder / "journal" / "tracking.json").exists() and bool(state_of(folder)["shown"]))
        for number, (mode, words) in enumerate(FAULTS.items()):
            front.mode = mode
            add_steps(folder, number + 1, number + 2)
            until(lambda words=words: words in state_of(folder)["reason"])  # type: ignore[misc]
            assert state_of(folder)["complete"] is False
        front.mode = "pass"
    assert is_complete(folder), log_of(folder)
    run, curve = shown(upstream, folder)
    assert curve == expected(len(FAULTS) + 1)
    assert run.info.status == "FINISHED"
    assert "Traceback" not in log_of(folder)
    for mode in ("500", "404", "login page"):
        front.mode = mode
        assert not is_complete(folder)
    front.mode = "pass"
    assert is_complete(folder)


def test_a_server_that_hangs_holds_the_end_of_a_run_up_for_a_bounded_time(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")
    monkeypatch.setattr(writer, "FINISH_SECONDS", 10)
    folder = workspace(tmp_path, "tiny-55555555")
    front.mode = "hang"
    send(folder)
    assert f"MLflow at http://127.0.0.1:{front.port} did not take the rest in 10 s." in capsys.readouterr().out
    assert not is_complete(folder)


@pytest.mark.parametrize("way", ["environment", "address", "token"])
def test_credentials_reach_the_server_and_nothing_else(
    way: str, front: Front, upstream: tuple[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    basic = b64encode(f"me:{PASSWORD}".encode()).decode()
    front.authorization = f"Bearer {PASSWORD[:7]}" if way == "token" else f"Basic {basic}"
    folder = workspace(tmp_path, f"tiny-6666666{len(way)}")
    send(folder)
    assert "it refuses the credentials, or lacks them (401)" in capsys.readouterr().out
    if way == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    elif way == "token":
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", PASSWORD[:7])
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{QUOTED}@127.0.0.1:{front.port}")
    send(folder)
    assert is_complete(folder), log_of(folder)
    run, curve = shown(upstream, folder)
    assert curve == expected(5)
    assert (folder / "journal" / "mlflow_page").read_text().startswith(f"http://127.0.0.1:{front.port}/#/experiments/")
    front.mode = "cut"
    add_steps(folder, 5, 6)
    send(folder)
    written = [path.read_text() for path in (folder / "journal").iterdir()]
    everything = "\n".join([*written, capsys.readouterr().out, json.dumps(run.to_dictionary())])
    assert "hunter2" not in everything


def test_a_record_and_its_files_go_through_the_server(front: Front, upstream: tuple[int, Path], tmp_path: Path) -> None:
    folder = workspace(tmp_path, "tiny-77777777")
    send(folder)
    kept = list((upstream[1].parent / "mlartifacts").rglob("records/pack/record.json"))
    assert (folder / "artifacts/records/pack/record.json").read_text() in [path.read_text() for path in kept]
    assert not (tmp_path / "mlruns").exists()


def test_mlflow_on_loopback_is_not_asked_through_a_proxy_and_another_host_is(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = workspace(tmp_path, "tiny-88888888")
    with recording_proxy() as (port, asked):
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        send(folder)
        assert is_complete(folder), log_of(folder)
        assert asked == []
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.invalid")
        send(folder)
    assert asked
    assert all(path.startswith("http://mlflow.invalid/") for path in asked)
    assert "MLflow at http://mlflow.invalid: its server fails (502)" in capsys.readouterr().out
