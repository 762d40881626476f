"""The secret is made once, readable for its owner alone, and goes to Martlet's own servers and to nobody else."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.errors import ServiceError
from flows.runner import provide_server
from infra.servers.clients import asking_mlflow, asking_prefect
from infra.servers.running import is_ours, serving
from infra.servers.secret import authorization, secret_of
from infra.servers.service import listen
from infra.tracking.writer import tracking_environment

PREFECT, MLFLOW = "http://127.0.0.1:4200/api", "http://127.0.0.1:5000"
THEIRS = {"PREFECT_API_AUTH_STRING": "me:mine", "PREFECT_API_KEY": "k", "PREFECT_CLIENT_CUSTOM_HEADERS": '{"A": "mine"}',
          "MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "mine", "MLFLOW_TRACKING_TOKEN": "mine"}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder, and a user who has credentials for servers of his own."""
    (tmp_path / "ui").mkdir()
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.update(THEIRS, MARTLET_HOME=str(tmp_path))
    return tmp_path


def test_of_many_starts_at_once_all_have_the_same_secret(tmp_path: Path) -> None:
    os.umask(0)
    home = tmp_path / "state"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(secret_of, [home] * 32))
    (secret,) = found
    assert len(secret.get_secret_value()) >= 43
    assert secret.get_secret_value() not in repr(secret)
    assert (home / "secret").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in home.iterdir()} == {"secret", "secret.lock"}


@pytest.mark.parametrize(("content", "mode", "words"), [
    ("x" * 43, 0o644, "mode 0644"), ("x" * 43, 0o660, "Remove"), ("", 0o600, "no secret"), ("\u00fc" * 50, 0o600, "no secret"),
])  # fmt: skip
def test_a_secret_that_others_may_know_or_that_is_none_is_not_used(tmp_path: Path, content: str, mode: int, words: str) -> None:
    path = tmp_path / "secret"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(ServiceError, match=words):
        secret_of(tmp_path)


@pytest.mark.parametrize(("prefect", "mlflow"), [
    ("http://127.0.0.1:4201/api", "http://127.0.0.1:5001"), ("http://localhost:4200/api", "http://localhost:5000"),
    ("https://127.0.0.1:4200/api", "https://127.0.0.1:5000"), ("http://prefect.example:4200/api", "http://mlflow.example:5000"),
    ("http://127.0.0.1.example:4200/api", "http://127.0.0.1.example:5000"), ("http://127.0.0.1:x/api", "file:///a"),
])  # fmt: skip
def test_another_server_is_asked_with_the_users_own_credentials_alone(home: Path, prefect: str, mlflow: str) -> None:
    os.environ.update(PREFECT_API_URL=prefect, MLFLOW_TRACKING_URI=mlflow)
    secret = secret_of(home).get_secret_value()
    with serving(home, 4200), serving(home, 5000):
        provide_server()
        written = tracking_environment()
    for environment in (dict(os.environ), written):
        assert THEIRS.items() <= environment.items()
        assert not any(secret in value for value in environment.values())


def test_credentials_in_an_address_are_the_only_ones_that_go_there(home: Path) -> None:
    os.environ.update(MLFLOW_TRACKING_URI="http://127.0.0.1:5000@mlflow.example")
    with serving(home, 5000):
        written = tracking_environment()
    named = {name: value for name, value in written.items() if name.startswith("MLFLOW_TRACKING_")}
    assert named == {
        "MLFLOW_TRACKING_URI": "http://mlflow.example",
        "MLFLOW_TRACKING_USERNAME": "127.0.0.1", "MLFLOW_TRACKING_PASSWORD": "5000",
    }  # fmt: skip


def test_our_running_server_is_asked_with_the_secret_alone(home: Path) -> None:
    os.environ.update(PREFECT_API_URL=PREFECT, MLFLOW_TRACKING_URI=MLFLOW)
    with serving(home, 4200), serving(home, 5000):
        provide_server()
        written = tracking_environment()
    headers = json.loads(os.environ["PREFECT_CLIENT_CUSTOM_HEADERS"])
    assert headers == {"Authorization": authorization(secret_of(home))}
    assert "PREFECT_API_AUTH_STRING" not in os.environ
    assert written["MLFLOW_TRACKING_USERNAME"] == "martlet"
    assert written["MLFLOW_TRACKING_PASSWORD"] == secret_of(home).get_secret_value()
    assert "MLFLOW_TRACKING_TOKEN" not in written


def test_a_port_is_ours_only_while_our_server_runs(home: Path) -> None:
    assert not is_ours(home, PREFECT)
    with serving(home, 4200):
        assert is_ours(home, PREFECT)
    assert not is_ours(home, PREFECT)


def test_the_environment_of_our_programs_keeps_no_credentials_of_the_users(home: Path) -> None:
    ours = asking_mlflow(asking_prefect({**THEIRS, "LANG": "C"}, home, PREFECT), home, MLFLOW)
    assert ours["LANG"] == "C"
    assert "mine" not in "".join(ours.values())


def test_a_port_that_another_process_has_is_one_message() -> None:
    with listen() as taken, pytest.raises(ServiceError, match=r"port \d+ cannot be had.*--prefect-port"):
        listen(taken.getsockname()[1], "--prefect-port")
    with pytest.raises(ServiceError, match="port 70000 cannot be had"):
        listen(70000, "--prefect-port")
