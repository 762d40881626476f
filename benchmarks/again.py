"""How long a finished smoke run takes again: `martlet run smoke` against `dvc repro` in its workspace; both find nothing to do.

Run it with `make bench-again`, after `make smoke`. It prints one JSON line; the exit code is 1 if the goal is missed.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROUNDS = 7
GOAL = 2.0  # times the peer: `martlet` also checks whether the tree is edited and the run sealed, and prints a table


def seconds(command: list[str], folder: Path) -> float:
    """Wall time of one command, which must succeed."""
    clock = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return time.perf_counter() - clock


def figures() -> Iterator[dict[str, Any]]:
    """Runs the two in turn; gives their medians and the ratio."""
    tools, root = Path(sys.executable).parent, Path.cwd()
    ours = [str(tools / "martlet"), "run", "smoke"]
    done = subprocess.run(ours, check=True, capture_output=True, text=True).stdout
    if "nothing to do" not in done:
        sys.exit("error: the smoke had something to do; run this again")
    workspace = Path(done.rsplit("release: ", 1)[1].strip()).parents[1]
    os.environ["DVC_NO_ANALYTICS"] = "1"
    os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
    pairs = [(seconds(ours, root), seconds([str(tools / "dvc"), "repro"], workspace)) for _ in range(ROUNDS)]
    mine, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    figure = {"bench": "again", "ours": round(mine, 3), "peer": round(peer, 3), "peer_name": "dvc repro", "unit": "s"}
    yield {**figure, "ratio": round(ratio, 3), "goal": f"<= {GOAL}", "pass": ratio <= GOAL}
