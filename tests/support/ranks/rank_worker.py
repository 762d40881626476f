"""A rank that behaves as its first argument says: what the launcher's tests start instead of torch."""

import os
import signal
import sys
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


if __name__ == "__main__":
    behaviours = {f.__name__: f for f in (environment, last_fails, last_is_killed, deaf, notes_term)}
    sys.exit(behaviours[sys.argv[1]](Path(sys.argv[2])))
