"""Claims a block of ports and a folder for sockets for one cluster, until the cluster releases them.

The daemons bind their ports long after the ports were chosen, and a node that was killed leaves its port free for a while. So
the choice is a claim: a folder named after the block's first port, which only one cluster can create. It lies in /tmp because
the path of munge's socket may have at most 107 bytes.
"""

import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from components.errors import ResourceError, ServiceError

FIRST_PORT = 20_000
END_PORT = 32_768
"""From here on the kernel gives ports to programs that ask for any free port."""
BLOCK = 64
OWNER = "owner"
MODE = 0o711
"""Munge wants everybody to be able to reach its socket, whatever the umask."""


def claims_folder() -> Path:
    """The user's own folder of claims, which nobody else can write to. Raises `ServiceError` if somebody else made it."""
    folder = Path(f"/tmp/martlet-{os.geteuid()}")  # noqa: S108  (checked below)
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(MODE)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or not folder.is_dir() or folder.is_symlink() or found.st_mode & 0o022:
        raise ServiceError(f"{folder} must be a folder that only you can write to. Remove it, or have its owner do so.")
    return folder


def claim(owner: Path) -> Path:
    """The claim of this cluster, old or new; its name is the first port of its block."""
    folder = claims_folder()
    if mine := claimed(owner):
        return mine
    for port in range(FIRST_PORT, END_PORT - BLOCK + 1, BLOCK):
        path = folder / str(port)
        if path.exists() or not all(is_free(number) for number in range(port, port + BLOCK)):
            continue
        with suppress(FileExistsError):
            path.mkdir()
            path.chmod(MODE)
            (path / OWNER).symlink_to(owner)
            return path
    raise ResourceError(f"every block of {BLOCK} ports from {FIRST_PORT} to {END_PORT} is taken. Stop a cluster; see {folder}.")


def claimed(owner: Path) -> Path | None:
    """The claim of this cluster, if it has one."""
    folder = claims_folder()
    return next((path.parent for path in folder.glob(f"*/{OWNER}") if path.readlink() == owner), None)


def release(owner: Path) -> None:
    """Releases the ports and removes the sockets."""
    if mine := claimed(owner):
        shutil.rmtree(mine)


def is_free(port: int) -> bool:
    """Whether nothing listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the daemons do: a port that was just closed is free
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
