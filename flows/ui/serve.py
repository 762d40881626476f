"""Serves the Prefect page, the MLflow page and a worker, on loopback, until Ctrl-C; the deployment's form starts runs.

Three processes, watched together: when one ends, all end, and the message says which.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from components.errors import ServiceError
from flows.clone import find_clone
from infra.prefect_server import prefect_environment
from infra.processes import dying_with_parent

POOL = "martlet"
DEPLOYMENT = "form"
START_SECONDS = 180
POLL_SECONDS = 0.3
STOP_SECONDS = 10
LOOPBACK = "127.0.0.1"


class Service:
    """One process, its log, and the address that answers when it is up."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: dict[str, str], folder: Path, health: str = ""
    ) -> None:
        self.name = name
        self.log = Path(environment["MARTLET_HOME"]) / "ui" / f"{name}.log"
        self.health = health
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments], env=environment, cwd=folder,
                stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
                preexec_fn=dying_with_parent(),  # noqa: PLW1509  (it takes no lock)
            )

    def wait_until_up(self) -> None:
        """Asks the service's address until it answers. Raises `ServiceError` if the process ends or stays silent."""
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self.health, timeout=5):  # noqa: S310  (our own address)
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(POLL_SECONDS)
        raise ServiceError(f"{self.name} did not start; the end of {self.log}:\n{self.last_lines()}")

    def last_lines(self) -> str:
        """The end of the service's log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])

    def stop(self) -> None:
        """Terminates the process's whole group; kills it if it does not end."""
        if self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def serve(folder: Path, prefect_port: int, mlflow_port: int) -> None:
    """Starts everything, prints the addresses, and stays until Ctrl-C or until one of the processes ends."""
    settings, root = find_clone(folder)
    os.chdir(root)
    home = settings.home.absolute()
    (home / "ui").mkdir(parents=True, exist_ok=True)
    environment = ui_environment(home, prefect_port, mlflow_port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    services: list[Service] = []
    try:
        for name, arguments, health in pages(home, prefect_port, mlflow_port):
            services.append(Service(name, arguments, environment, home, health))
        for service in services:
            service.wait_until_up()
        subprocess.run([sys.executable, "-m", "flows.ui.deployment"], env=environment, check=True)
        worker = ["prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "martlet"]
        services.append(Service("worker", worker, environment, root))
        announce(prefect_port, mlflow_port)
        watch(services)
    finally:
        for service in reversed(services):
            service.stop()


def ui_environment(home: Path, prefect_port: int, mlflow_port: int) -> dict[str, str]:
    """What the servers and the worker share: their addresses, state below `home`, no telemetry."""
    return {
        **os.environ,
        **prefect_environment(home),
        "PREFECT_API_URL": f"http://{LOOPBACK}:{prefect_port}/api",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
        "MLFLOW_TRACKING_URI": f"http://{LOOPBACK}:{mlflow_port}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MARTLET_HOME": str(home),
    }


def pages(home: Path, prefect_port: int, mlflow_port: int) -> list[tuple[str, list[str], str]]:
    """Name, module with arguments, and health address of the two servers."""
    database, artifacts = f"sqlite:///{home / 'mlflow.db'}", str(home / "mlartifacts")
    prefect = ["prefect", "server", "start", "--host", LOOPBACK, "--port", str(prefect_port)]
    mlflow = ["mlflow", "server", "--host", LOOPBACK, "--port", str(mlflow_port), "--workers", "1"]
    mlflow += ["--backend-store-uri", database, "--artifacts-destination", artifacts, "--serve-artifacts"]
    return [
        ("prefect", prefect, f"http://{LOOPBACK}:{prefect_port}/api/health"),
        ("mlflow", mlflow, f"http://{LOOPBACK}:{mlflow_port}/health"),
    ]


def announce(prefect_port: int, mlflow_port: int) -> None:
    """Prints the addresses."""
    print(  # noqa: T201
        f"Prefect  http://{LOOPBACK}:{prefect_port}/deployments  (pretrain/{DEPLOYMENT}: the form that starts a run)\n"
        f"MLflow   http://{LOOPBACK}:{mlflow_port}\n"
        f"From a shell: PREFECT_API_URL=http://{LOOPBACK}:{prefect_port}/api "
        f"MLFLOW_TRACKING_URI=http://{LOOPBACK}:{mlflow_port} martlet run smoke\n"
        "Ctrl-C stops all of it.",
        flush=True,
    )


def watch(services: Sequence[Service]) -> None:
    """Never returns; raises `ServiceError` when a process ends."""
    while True:
        for service in services:
            if service.process.poll() is not None:
                raise ServiceError(f"{service.name} ended; the end of {service.log}:\n{service.last_lines()}")
        time.sleep(POLL_SECONDS)
