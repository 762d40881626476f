"""A behaviour in, a rank that behaves so: what the launcher's tests start instead of torch."""

import os
import signal
import sys
import time
from pathlib import Path

RANK = int(os.environ["RANK"])


def wait_for_signal() -> None:
    """Says that it is ready, then waits to be ended."""
    sys.stdout.write(f"rank {RANK} is ready\n")
    signal.pause()


def main(behaviour: str, argument: str) -> int:
    """Returns the exit code."""
    if behaviour == "environment":
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS", "MARTLET_RENDEZVOUS")
        Path(argument, f"{RANK}.txt").write_text("\n".join(os.environ[name] for name in (*names, "EXTRA")))
    if behaviour == "last-fails":
        if RANK == int(os.environ["WORLD_SIZE"]) - 1:
            sys.stderr.write("the ledger has no such page\n")
            return 3
        wait_for_signal()
    if behaviour == "last-is-killed":
        if RANK == int(os.environ["WORLD_SIZE"]) - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        wait_for_signal()
    if behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if RANK == 0:
            return 4
        Path(argument).write_text(str(os.getpid()))
        while True:
            time.sleep(60)
    if behaviour == "notes-term":
        signal.signal(signal.SIGTERM, lambda *_: (Path(argument, f"term-{RANK}").touch(), sys.exit(0)))
        Path(argument, f"ready-{RANK}").write_text(str(os.getpid()))
        while True:
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
