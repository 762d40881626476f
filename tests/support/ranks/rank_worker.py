"""A rank that behaves as its first argument says: what the launcher's tests start instead of torch."""

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
LAST = WORLD - 1
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS", "MARTLET_RENDEZVOUS", "EXTRA")


def wait() -> NoReturn:
    """Does nothing until a signal ends it."""
    while True:
        signal.pause()


def environment(folder: Path) -> int:
    """Writes the variables that it was given."""
    (folder / f"{RANK}.txt").write_text("\n".join(os.environ[name] for name in NAMES))
    return 0


def last_fails(_: Path) -> int:
    """Only the last rank fails; the others would wait forever."""
    if RANK < LAST:
        wait()
    sys.stderr.write("the ledger has no such page\n")
    return 3


def last_is_killed(_: Path) -> int:
    """Only the last rank is killed, as by the kernel when there is no memory left."""
    if RANK == LAST:
        os.kill(os.getpid(), signal.SIGKILL)
    wait()


def deaf(folder: Path) -> int:
    """Rank 0 fails once rank 1 runs, which ignores SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if RANK > 0:
        (folder / "deaf").write_text(str(os.getpid()))
        wait()
    while not (folder / "deaf").exists():
        signal.sigtimedwait([signal.SIGUSR1], 0.01)
    return 4


def notes_term(folder: Path) -> int:
    """Ends in order when it is asked to."""
    signal.signal(signal.SIGTERM, lambda *_: ((folder / f"term-{RANK}").touch(), sys.exit(0)))
    (folder / f"ready-{RANK}.partial").write_text(str(os.getpid()))
    (folder / f"ready-{RANK}.partial").rename(folder / f"ready-{RANK}")
    wait()


def talks(folder: Path) -> int:
    """Rank 0 listens on loopback, as gloo does; the last rank tells it a word. Rank 0 listens on until the test has tried."""
    if RANK == 0:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            (folder / "port.partial").write_text(str(listener.getsockname()[1]))
            (folder / "port.partial").rename(folder / "port")
            with listener.accept()[0] as connection:
                (folder / "heard.partial").write_bytes(connection.recv(100))
            (folder / "heard.partial").rename(folder / "heard")
            wait_for(folder / "tried")
    elif RANK == LAST:
        wait_for(folder / "port")
        with socket.create_connection(("127.0.0.1", int((folder / "port").read_text()))) as connection:
            connection.sendall(b"a gradient")
    return 0


def wait_for(path: Path) -> None:
    """Returns when the file is there."""
    while not path.exists():
        time.sleep(0.01)


if __name__ == "__main__":
    behaviours = {f.__name__: f for f in (environment, talks, last_fails, last_is_killed, deaf, notes_term)}
    sys.exit(behaviours[sys.argv[1]](Path(sys.argv[2])))
