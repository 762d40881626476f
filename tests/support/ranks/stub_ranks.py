"""Ranks that count steps of a tenth of a second, save on a signal, and resume later.

`history-RANK` in the folder gets a line for each step that this rank makes: job, restart, step, ranks. The rank resumes from
this file: with a count saved next to it, a rank that is killed between the two writes would leave a step out. A test may put
files into the folder: `deaf`: the ranks ignore the signals that ask for an end; `enough`: the current step is the last;
`fail-RANK`: the step from which on this rank fails by itself; `die-RANK`, `die-NODE`: the step after which a rank is killed
(0: before any, always).
"""

import os
import signal
import sys
import time
from pathlib import Path

from components.ranks.outcome import Outcome
from components.ranks.progress import Progress

STEP_SECONDS = 0.1


def main(folder: Path, steps: int) -> None:
    """Rank 0 keeps the count for all."""
    came: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, _: came.append(number))
    rank, history = int(os.environ["RANK"]), folder / f"history-{os.environ['RANK']}"
    folder.mkdir(parents=True, exist_ok=True)
    deaf = (folder / "deaf").exists()
    done = saved(history)
    is_enough = (folder / "enough").exists
    blow_up(folder, rank, 0)
    while done < steps and not is_enough() and (deaf or not came):
        time.sleep(STEP_SECONDS)
        done += 1
        save(history, done)
        if rank == 0:
            tell(done, steps)
        blow_up(folder, rank, done)
    if rank == 0:
        signal_name = signal.Signals(came[0]).name if came else None
        outcome = Outcome(finished=done >= steps or is_enough(), signal=signal_name, done=done)
        outcome.write(folder.parent / "outcome.json")


def saved(history: Path) -> int:
    """How many steps were made."""
    lines = history.read_text().splitlines() if history.exists() else []
    return int(lines[-1].split()[2]) if lines else 0


def save(history: Path, done: int) -> None:
    """Saves the count in a single write: a rank may be killed at any moment."""
    with history.open("a") as stream:
        restart = os.environ.get("SLURM_RESTART_COUNT", "0")
        stream.write(f"{os.environ['SLURM_JOB_ID']} {restart} {done} {os.environ['WORLD_SIZE']}\n")


def tell(done: int, steps: int) -> None:
    """Prints a progress line."""
    sys.stdout.write(Progress(done, steps, f"{os.environ['WORLD_SIZE']} ranks").line() + "\n")
    sys.stdout.flush()


def blow_up(folder: Path, rank: int, done: int) -> None:
    """Fails or is killed, if a test asks for that."""
    for name in (f"fail-{rank}", f"die-{rank}", f"die-{os.environ['SLURMD_NODENAME']}"):
        asked = folder / name
        if asked.exists() and due(name, int(asked.read_text()), done):
            if name.startswith("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            sys.stderr.write("what went wrong is here\n")
            raise ValueError(f"rank {rank} does not like step {done}")


def due(name: str, asked: int, done: int) -> bool:
    """A kill happens once; a failure also later, since a rank may be steps ahead of the one that a test looks at."""
    return done >= asked if name.startswith("fail") else done == asked


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
