"""How soon a person has an answer: `martlet --help`, and a refused parameter, compared with `dvc` and its refusal.

`make bench-start` prints one JSON line for each figure. The help's goal is half a second: a person waits for it. A refusal may
not take longer than the peer's. The processes of both sides alternate, and medians are compared.
"""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.timing import seconds

ROUNDS = 7
HELP_SECONDS = 0.5
QUESTIONS = {
    "help": (["--help"], ["--help"]),
    "refusal": (["run", "smoke", "--set", "train.lerning_rate=1e-4"], ["repro", "no-such-stage"]),
}
"""What `martlet` is asked, and what `dvc`."""


def figures() -> Iterator[dict[str, Any]]:
    """The figures of the two answers."""
    for name, (mine, theirs) in QUESTIONS.items():
        pairs = [(answer("martlet", mine), answer("dvc", theirs)) for _ in range(ROUNDS)]
        ours, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
        passed = ours <= HELP_SECONDS if name == "help" else ours <= peer
        yield {
            "bench": f"start-{name}", "ours": round(ours, 3), "peer": round(peer, 3), "peer_name": "dvc", "unit": "s",
            "ratio": round(ours / peer, 3), "goal": f"at most {HELP_SECONDS} s" if name == "help" else "ratio at most 1",
            "pass": passed,
        }  # fmt: skip


def answer(command: str, arguments: list[str]) -> float:
    """Wall time in seconds of a command of this environment, whatever its exit code."""
    words = [str(Path(sys.executable).with_name(command)), *arguments]
    return seconds(lambda: subprocess.run(words, capture_output=True, check=False))
