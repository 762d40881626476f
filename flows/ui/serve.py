"""Serves the Prefect page, the MLflow page and a worker, on loopback, until Ctrl-C; the deployment's form starts runs.

Three processes, watched together: when one ends, all end, and the message says which. Each start has a key of its own, in the
links that it prints: an old link, or a cookie that somebody got hold of, opens no later start.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from components.errors import ServiceError
from flows.clone import find_clone
from infra.prefect_server import prefect_environment, server_environment
from infra.servers.apps import BROWSER_KEY
from infra.servers.clients import asking_mlflow, asking_prefect
from infra.servers.gate import ENTRANCE
from infra.servers.running import serving
from infra.servers.service import Service, address_of, listen, start_server

POOL = "martlet"
DEPLOYMENT = "form"
POLL_SECONDS = 0.3


class Pages:
    """The addresses of the two servers, and the key that lets a browser in to both."""

    def __init__(self, home: Path, prefect: str, mlflow: str) -> None:
        self.home = home
        self.prefect = prefect
        self.mlflow = mlflow
        self.key = secrets.token_urlsafe(32)

    def for_servers(self) -> dict[str, str]:
        """The variables of the servers."""
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        return {**server_environment(self.home, self.prefect), **quiet, BROWSER_KEY: self.key}

    def for_clients(self) -> dict[str, str]:
        """The variables of the worker and its flows: the addresses of the servers, and the secret."""
        environment = {
            **os.environ, **prefect_environment(self.home), "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
            "MLFLOW_DISABLE_TELEMETRY": "true", "MARTLET_HOME": str(self.home),
        }  # fmt: skip
        environment = asking_prefect(environment, self.home, f"{self.prefect}/api")
        return asking_mlflow(environment, self.home, self.mlflow)

    def announce(self) -> None:
        """Prints the links and the addresses."""
        print(  # noqa: T201
            f"Prefect  {self.prefect}{ENTRANCE}?key={self.key}  (pretrain/{DEPLOYMENT}: the form that starts a run)\n"
            f"MLflow   {self.mlflow}{ENTRANCE}?key={self.key}\n"
            "These links let a browser in until this ends: they are yours alone.\n"
            f"From a shell: PREFECT_API_URL={self.prefect}/api MLFLOW_TRACKING_URI={self.mlflow} martlet run smoke\n"
            "Ctrl-C stops all of it.",
            flush=True,
        )


def serve(folder: Path, prefect_port: int, mlflow_port: int) -> None:
    """Starts everything, prints the links, and stays until Ctrl-C or until one of the processes ends."""
    settings, root = find_clone(folder)
    os.chdir(root)
    home = settings.home.absolute()
    (home / "ui").mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sockets = {"prefect": listen(prefect_port, "--prefect-port"), "mlflow": listen(mlflow_port, "--mlflow-port")}
    pages = Pages(home, *(address_of(each) for each in sockets.values()))
    with contextlib.ExitStack() as stack:
        for port in (prefect_port, mlflow_port):
            stack.enter_context(serving(home, port))
        services = stack.enter_context(stopped_at_end())
        start_all(pages, root, sockets, services)
        pages.announce()
        watch(services)


def start_all(pages: Pages, root: Path, sockets: dict[str, socket.socket], services: list[Service]) -> None:
    """Starts the two servers together, then, on what they answer, the deployment and the worker."""
    logs, environment = pages.home / "ui", pages.for_clients()
    for name, listener in sockets.items():
        services.append(start_server(name, f"{name}_app", listener, pages.for_servers(), logs / f"{name}.log"))
    for service, health in zip(services, (f"{pages.prefect}/api/health", f"{pages.mlflow}/health"), strict=True):
        service.wait_until_healthy(health)
    if subprocess.run([sys.executable, "-m", "flows.ui.deployment"], env=environment, check=False).returncode:
        raise ServiceError(f"the form could not be registered with the Prefect server at {pages.prefect}; it said why above")
    worker = ["prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "martlet"]
    services.append(Service("worker", worker, environment, logs / "worker.log", folder=root))


@contextlib.contextmanager
def stopped_at_end() -> Iterator[list[Service]]:
    """Yields a list; what was put into it is stopped, the last first."""
    services: list[Service] = []
    try:
        yield services
    finally:
        for service in reversed(services):
            service.stop()


def watch(services: Sequence[Service]) -> None:
    """Never returns; raises `ServiceError` when a process ends."""
    while True:
        for service in services:
            if service.process.poll() is not None:
                raise ServiceError(f"{service.name} ended; the end of {service.log}:\n{service.last_lines()}")
        time.sleep(POLL_SECONDS)
