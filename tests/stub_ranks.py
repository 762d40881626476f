"""A folder and a number of steps in; ranks that count steps of a tenth of a second, save on a signal, and go on later."""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main(folder: Path, steps: int) -> None:
    """Rank 0 keeps the count for all."""
    came: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, _: came.append(number))
    rank, folder_state = int(os.environ["RANK"]), folder / f"rank-{os.environ['RANK']}"
    folder.mkdir(parents=True, exist_ok=True)
    done = int(folder_state.read_text()) if folder_state.exists() else 0
    while done < steps and not came:
        time.sleep(0.1)
        done += 1
        folder_state.write_text(str(done))
        if rank == 0:
            text = json.dumps({"done": done, "total": steps, "text": f"{os.environ['WORLD_SIZE']} ranks"})
            sys.stdout.write(f"@progress {text}\n")
            sys.stdout.flush()
        blow_up(folder, rank, done)
    if rank == 0:
        outcome = {"finished": done >= steps, "step": done, "signal": signal.Signals(came[0]).name if came else None}
        (folder.parent / "outcome.json").write_text(json.dumps(outcome))


def blow_up(folder: Path, rank: int, done: int) -> None:
    """As a test asks for: `fail-RANK` holds the step after which this rank fails by itself, `die-RANK` is killed."""
    for name in ("fail", "die"):
        asked = folder / f"{name}-{rank}"
        if asked.exists() and int(asked.read_text()) == done:
            if name == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError(f"rank {rank} does not like step {done}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
