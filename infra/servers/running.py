"""Knows which ports the `martlet ui` of a state folder serves at this moment, so that the secret goes there alone.

A lock that is held says so, which the kernel frees with the process: whoever takes the port afterwards is not taken for ours.
"""

import contextlib
import fcntl
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from infra.servers.service import LOOPBACK


@contextlib.contextmanager
def serving(home: Path, port: int) -> Iterator[None]:
    """Marks the port as ours during the block."""
    with lock_of(home, port).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def is_ours(home: Path, url: str) -> bool:
    """Whether a URL leads to a server that a `martlet ui` of this state folder runs on this machine.

    The one that it printed: `localhost` may be `::1` as well, where somebody else may listen.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 0
    except ValueError:
        return False
    path = lock_of(home, port)
    if (parts.scheme, parts.hostname) != ("http", LOOPBACK) or not path.exists():
        return False
    with path.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def lock_of(home: Path, port: int) -> Path:
    """The file that is locked; its name has the machine, for a state folder may be on a disk that several see."""
    return home / "ui" / f"{socket.gethostname()}-{port}.lock"
