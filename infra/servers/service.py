"""Processes of one command, each with its log: servers on sockets that are bound before they start, and what works beside them.

A socket that is bound first and handed over cannot be another user's: no process that took the port is mistaken for ours, and
the first request waits in the socket's queue until the server answers.
"""

import errno
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.errors import ServiceError
from infra.processes import dying_with_parent

CODE = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
START_SECONDS = 180
STOP_SECONDS = 10
SERVER_OPTIONS = ["--lifespan", "on", "--no-access-log", "--no-proxy-headers", "--log-level", "error"]


class Service:
    """One process with its log; it ends with this process."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path, *,
        folder: Path | None = None, sockets: Sequence[socket.socket] = (),
    ) -> None:  # fmt: skip
        """Starts `python -m` with the arguments, in a process group of its own."""
        self.name = name
        self.log = log
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments], env=environment, cwd=folder,
                stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
                pass_fds=[each.fileno() for each in sockets], preexec_fn=dying_with_parent(),  # noqa: PLW1509  (it takes no lock)
            )

    def wait_until_healthy(self, address: str) -> None:
        """Waits for the first answer. Raises `ServiceError` with the end of the log if the process ends or stays silent."""
        try:
            with without_proxy().open(address, timeout=START_SECONDS):
                return
        except (urllib.error.URLError, OSError) as error:
            self.stop()
            raise ServiceError(f"{self.name} did not start ({error}); the end of {self.log}:\n{self.last_lines()}") from error

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


def start_server(name: str, app: str, listener: socket.socket, environment: Mapping[str, str], log: Path) -> Service:
    """Starts an app of `infra.servers.apps` on a bound socket, and closes the socket here."""
    arguments = ["uvicorn", "--factory", f"infra.servers.apps:{app}", "--app-dir", str(CODE), "--fd", str(listener.fileno())]
    with listener:
        return Service(name, [*arguments, *SERVER_OPTIONS], environment, log, folder=log.parent, sockets=[listener])


def listen(port: int = 0, option: str = "") -> socket.socket:
    """A socket on loopback, on any free port by default. Raises `ServiceError` naming the option if the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was ours a moment ago
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "another process listens there" if taken else str(error)
        raise ServiceError(f"port {port} cannot be had: {why}. Choose another one with {option}.") from error
    return listener


def address_of(listener: socket.socket) -> str:
    """The URL of a socket on loopback."""
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}"


def without_proxy() -> urllib.request.OpenerDirector:
    """Asks the machine itself: no proxy of the user's can reach its loopback, and none may see what is sent there."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
