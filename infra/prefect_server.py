"""Starts a Prefect server on loopback that dies with this process; the flow's database stays below MARTLET_HOME.

Prefect can start a server by itself, but that one asks nobody who they are, is left running after `kill -9` of the flow, and
picks a port before it binds it.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from infra.servers.loopback import loopback_directly
from infra.servers.secret import secret_of
from infra.servers.service import address_of, listen, start_server

REFUSED = {
    "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_SERVER_API_BASE_PATH", "PREFECT_SERVER_UI_SERVE_BASE", "PREFECT_UI_SERVE_BASE",
}  # fmt: skip
"""Settings of a user's own server that would shut ours for its gate, or move it away from there."""


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


def server_environment(home: Path, address: str) -> dict[str, str]:
    """What a Prefect server of ours is told: no other origin's page may read it, and its own page asks where it came from."""
    kept = {name: value for name, value in os.environ.items() if name not in REFUSED}
    return {
        **kept,
        **prefect_environment(home),
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": address,
        "PREFECT_SERVER_UI_API_URL": "/api",
        "MARTLET_HOME": str(home.absolute()),
    }


@contextlib.contextmanager
def own_server(home: Path) -> Iterator[str]:
    """Yields the address of the server's API. Raises `ServiceError` with the end of the server's log if it does not start."""
    secret_of(home)  # its errors are told here, not by the server's log
    listener = listen()
    address = address_of(listener)
    environment = server_environment(home, address)
    environment |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
    folder = Path(environment["PREFECT_HOME"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first start on a new database creates its tables: one at a time
        server = start_server("Martlet's own Prefect server", "prefect_app", listener, environment, folder / "server.log")
        server.wait_until_healthy(f"{address}/api/health")
    try:
        yield f"{address}/api"
    finally:
        server.stop()
