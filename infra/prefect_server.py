"""Starts a Prefect server on loopback that dies with this process; the flow's database stays below MARTLET_HOME.

Prefect can start a server by itself, but leaves it running after `kill -9` of the flow, and picks a port before it binds it.
Here the socket is bound first and handed over: no other process can take the port, and the first request waits in the socket's
queue until the server answers.
"""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from components.errors import ServiceError
from infra.loopback import loopback_directly
from infra.processes import dying_with_parent

START_SECONDS = 180


def prefect_environment(home: Path) -> dict[str, str]:
    """Prefect's variables: state below `home`, no telemetry, no proxy on the way to it; the user's own settings win."""
    defaults = {
        "PREFECT_HOME": str(home.absolute() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "true",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    }
    return {name: os.environ.get(name, value) for name, value in defaults.items()} | loopback_directly(os.environ)


@contextlib.contextmanager
def own_server(home: Path) -> Iterator[str]:
    """Yields the address of the server's API. Raises `ServiceError` with the end of the server's log if it does not start."""
    environment = {**os.environ, **prefect_environment(home)}
    environment |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    folder = Path(environment["PREFECT_HOME"])
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    with (folder / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first start on a new database creates its tables: one at a time
        server, address = start(environment, log)
        wait(server, address, log)
    try:
        yield f"{address}/api"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def start(environment: dict[str, str], log: Path) -> tuple["subprocess.Popen[bytes]", str]:
    """Starts the server on a socket that is bound already; returns it and its address."""
    with socket.socket() as listener, log.open("ab") as stream:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        port = listener.getsockname()[1]
        arguments = ["--factory", "prefect.server.api.server:create_app", "--fd", str(listener.fileno())]
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *arguments, "--log-level", "error", "--lifespan", "on"],
            env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
            pass_fds=(listener.fileno(),), preexec_fn=dying_with_parent(),  # noqa: PLW1509  (it takes no lock)
        )
    return server, f"http://127.0.0.1:{port}"


def wait(server: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    """Waits for the server's first answer; the request lies in the socket's queue meanwhile."""
    try:
        with urllib.request.urlopen(f"{address}/api/health", timeout=START_SECONDS):  # noqa: S310  (our own address)
            return
    except (urllib.error.URLError, OSError) as error:
        server.kill()
        server.wait()
        words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
        message = f"Martlet's own Prefect server did not start ({error}); the end of {log}:\n" + "\n".join(words)
        raise ServiceError(message) from error
