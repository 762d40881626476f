"""Another user of this machine cannot use the servers nor reach the state folder; their owner does so without a password."""

import contextlib
import http.cookiejar
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from infra.prefect_server import own_server
from infra.servers.secret import authorization, secret_of
from tests.e2e.conftest import ROOT, listen_to_ctrl_c
from tests.e2e.test_form import free_port
from tests.support.another_user import as_nobody, needs_root

pytestmark = needs_root
SOCKETS = ("events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled", "work_pools/martlet/workers/connect")
Route = tuple[str, str]


@dataclass
class Served:
    """A `martlet ui` that runs, and what it printed."""

    home: Path
    prefect: str
    mlflow: str
    printed: str

    @property
    def links(self) -> list[str]:
        return re.findall(r"http://\S+/enter\?key=\S+", self.printed)

    @property
    def owner(self) -> dict[str, str]:
        return {"authorization": authorization(secret_of(self.home))}


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="martlet-reachable-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def ui() -> Iterator[Served]:
    """`martlet ui` on a state folder of before, which was open to everybody."""
    folder = Path(tempfile.mkdtemp(prefix="martlet-reachable-"))
    folder.chmod(0o755)
    home = folder / "home"
    (home / "prefect").mkdir(parents=True)
    for path in (home, home / "prefect"):
        path.chmod(0o777)
    prefect, mlflow = free_port(), free_port()
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "MARTLET_"))}
    theirs = {"PREFECT_SERVER_API_AUTH_STRING": "me:mine", "PREFECT_API_AUTH_STRING": "me:mine", "MLFLOW_TRACKING_TOKEN": "me"}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "ui", "--prefect-port", str(prefect), "--mlflow-port", str(mlflow)],
        cwd=ROOT, text=True, env={**plain, **theirs, "MARTLET_HOME": str(home)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509  (it takes no lock)
    )
    assert process.stdout is not None
    printed = ""
    try:
        while "Ctrl-C stops" not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        yield Served(home, f"http://127.0.0.1:{prefect}", f"http://127.0.0.1:{mlflow}", printed)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        shutil.rmtree(folder)
    assert process.returncode == 130


def status(method: str, url: str, headers: dict[str, str] | None = None) -> int:
    """What a server answers, with an empty body where the method has one."""
    data = b"{}" if method in ("POST", "PUT", "PATCH") else None
    headers = {"content-type": "application/json", **(headers or {})}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data, headers, method=method), timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def answers(base: str, routes: list[Route], headers: dict[str, str] | None = None) -> dict[Route, int]:
    """What another user gets of each route."""
    return as_nobody(lambda: {(method, path): status(method, base + path, headers) for method, path in routes})


def prefect_routes(base: str, owner: dict[str, str]) -> list[Route]:
    """Every route that the server says it has, its pages and its documentation."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(f"{base}/api/openapi.json", headers=owner), timeout=60) as answer:  # noqa: S310
        paths = json.load(answer)["paths"]
    routes = [(method.upper(), f"/api{path}") for path, methods in paths.items() for method in methods]
    found = [(method, re.sub(r"\{[^}]*\}", "x", path)) for method, path in routes]
    pages = ["/", "/v2/", "/deployments", "/ui-settings", "/docs", "/redoc", "/openapi.json", "/api/docs", "/api/openapi.json",
             "/api/redoc", "/static/x", "/api/static/x", "/nothing", "/enter", "/enter?key=x", "//api/flows/filter"]
    return [route for route in found if route != ("GET", "/api/health")] + [("GET", page) for page in pages]


def mlflow_routes() -> list[Route]:
    """Every route of MLflow's, its pages and its other interfaces."""
    from fastapi.openapi.utils import get_openapi
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import get_endpoints

    pairs = [(path, methods) for path, _, methods in get_endpoints()]
    pairs += list(get_openapi(title="", version="", routes=app.routes)["paths"].items())
    routes = {(method.upper(), path) for path, methods in pairs for method in methods}
    found = sorted((method, re.sub(r"<[^>]*>|\{[^}]*\}", "x", path)) for method, path in routes)
    pages = ["/", "/version", "/static-files/index.html", "/get-artifact?path=x&run_uuid=x", "/metrics", "/enter"]
    return [*found, *(("GET", page) for page in pages), ("POST", "/graphql"), ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x")]


def refused_sockets(address: str) -> list[int]:
    """How each websocket of Prefect's answers another user's handshake, with and without its subprotocol."""

    def attempt() -> list[int]:
        found = []
        for path in SOCKETS:
            for subprotocols in (None, ["prefect"]):
                try:
                    with connect(f"{address.replace('http', 'ws')}/{path}", subprotocols=subprotocols, proxy=None):  # type: ignore[arg-type]
                        found.append(101)
                except InvalidStatus as error:
                    found.append(error.response.status_code)
        return found

    return as_nobody(attempt)


def test_another_user_is_refused_by_every_route_of_prefect(ui: Served) -> None:
    routes = prefect_routes(ui.prefect, ui.owner)
    assert len(routes) > 200
    for headers in ({}, {"authorization": "Basic bWFydGxldDptYXJ0bGV0"}, {"authorization": "Basic bWU6bWluZQ=="}):
        found = answers(ui.prefect, routes, headers)
        assert {route: code for route, code in found.items() if code not in (401, 403)} == {}
    assert set(refused_sockets(f"{ui.prefect}/api")) == {403}
    assert answers(ui.prefect, [("GET", "/api/health")]) == {("GET", "/api/health"): 200}
    assert status("POST", f"{ui.prefect}/api/deployments/filter", ui.owner) == 200


@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")  # by MLflow's import
def test_another_user_is_refused_by_every_route_of_mlflow(ui: Served) -> None:
    routes = [route for route in mlflow_routes() if route not in (("GET", "/health"), ("HEAD", "/health"))]
    assert len(routes) > 100
    found = answers(ui.mlflow, routes)
    assert {route: code for route, code in found.items() if code not in (401, 403)} == {}
    assert status("GET", f"{ui.mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=1", ui.owner) == 200


def test_a_runs_own_server_refuses_another_user_too(reachable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:mine")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with own_server(reachable / "home") as address:
        base, owner = address.removesuffix("/api"), {"authorization": authorization(secret_of(reachable / "home"))}
        found = answers(base, prefect_routes(base, owner)[::5])
        assert {route: code for route, code in found.items() if code not in (401, 403)} == {}
        assert set(refused_sockets(address)) == {403}
        assert status("POST", f"{address}/flow_runs/filter", owner) == 200
        assert status("POST", f"{address}/flow_runs/filter", {**owner, "origin": "http://evil.example"}) == 403


def test_another_name_or_origin_is_refused_and_no_page_may_read_the_answers(ui: Served) -> None:
    reads = ((f"{ui.prefect}/api/admin/version", ui.prefect), (f"{ui.mlflow}/version", ui.mlflow))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for url, origin in reads:
        assert status("GET", url, {**ui.owner, "host": "evil.example"}) == 403
        for other in ("http://evil.example", "http://127.0.0.1:1", "null"):
            for method in ("GET", "POST", "OPTIONS"):
                assert status(method, url, {**ui.owner, "origin": other}) == 403
        with opener.open(urllib.request.Request(url, headers={**ui.owner, "origin": origin}), timeout=30) as answer:  # noqa: S310
            assert answer.headers["access-control-allow-origin"] in (None, origin)


def test_another_user_reaches_nothing_below_the_state_folder(ui: Served) -> None:
    def attempts() -> list[str]:
        found = []
        for path in (ui.home / "secret", ui.home / "mlflow.db", ui.home / "prefect/prefect.db", ui.home / "ui/worker.log"):
            with contextlib.suppress(PermissionError):
                found.append(f"read {path}: {path.read_bytes()!r}")
        for folder in (ui.home, ui.home / "prefect"):
            with contextlib.suppress(PermissionError):
                found.append(f"wrote into {folder}: {(folder / 'planted').write_text('x')}")
            with contextlib.suppress(PermissionError):
                found.append(f"listed {os.listdir(folder)}")  # noqa: PTH208
        return found

    assert as_nobody(attempts) == []
    assert (ui.home / "secret").stat().st_mode & 0o777 == 0o600
    new = [path for path in ui.home.rglob("*") if path.stat().st_mode & 0o077 and path != ui.home / "prefect"]
    assert new == []


def test_the_secret_and_the_links_key_stand_in_no_command_line_and_no_log(ui: Served) -> None:
    key = ui.links[0].rpartition("=")[2]
    words = [secret_of(ui.home).get_secret_value(), key, ui.owner["authorization"].split()[1]]

    def command_lines() -> str:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found.append(path.read_text(errors="replace"))
            except OSError:  # it has ended, or is nobody's business
                continue
        return "".join(found)

    shown = as_nobody(command_lines)
    assert "infra.servers.apps:prefect_app" in shown
    files = [path for path in ui.home.rglob("*") if path.is_file() and path.name != "secret"]
    assert len(files) > 5
    written = b"".join(path.read_bytes() for path in files)
    assert [word for word in words if word in shown or word.encode() in written] == []


def test_the_owners_browser_gets_in_by_the_link_and_stays_in_on_both_pages(ui: Served) -> None:
    assert len(ui.links) == 2
    for link in ui.links:
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))

        def read(url: str, opener: Any = opener, **headers: str) -> Any:
            with opener.open(urllib.request.Request(url, headers=headers), timeout=60) as answer:  # noqa: S310
                return answer.read()

        assert b"http-equiv" in read(link)
        assert b"<html" in read(f"{ui.prefect}/deployments", accept="text/html")
        assert {"api_url": "/api", "auth": None}.items() <= json.loads(read(f"{ui.prefect}/ui-settings")).items()
        assert json.loads(read(f"{ui.prefect}/api/deployments/name/pretrain/form"))["name"] == "form"
        assert b"<html" in read(f"{ui.mlflow}/", accept="text/html")
        assert "experiments" in json.loads(read(f"{ui.mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=1"))
