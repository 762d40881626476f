"""One rank of a profile, started with `python -m`: it makes a few steps of a training and writes their metrics."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.ranks.main import Rank, end_process, run_rank
from components.ranks.outcome import Outcome
from components.train.loop.worker import prepare_deepspeed
from components.train.planning.profile import ProfileRequest

if TYPE_CHECKING:
    from components.train.loop.steps import TrainingLoop
    from components.train.metrics import Line


def main(arguments: Sequence[str]) -> int:
    """Makes the steps; returns the exit code."""
    return run_rank(ProfileRequest, arguments, work)


def work(request: ProfileRequest, _rank: Rank) -> Outcome | None:
    """Makes the steps; rank 0 writes their metrics."""
    prepare_deepspeed()
    from components.train.loop.steps import TrainingLoop
    from components.train.metrics import write_lines
    from components.train.process_group import open_process_group

    with open_process_group():
        run = TrainingLoop(request)
        lines = make_steps(run)
        if run.rank == 0:
            write_lines(request.metrics, lines)
            return Outcome(finished=True, signal=None, done=len(lines))
    return None


def make_steps(run: "TrainingLoop") -> "list[Line]":
    """Makes as many steps as are worth timing, the same number on all ranks; returns their lines of metrics."""
    from components.train.planning.profile import FEWEST, SECONDS, WARM_UP

    lines = [run.update(0)]
    run.saver.snapshot(1, lines)
    lines += [run.update(step) for step in range(1, WARM_UP)]
    end = time.monotonic() + SECONDS
    for step in range(WARM_UP, run.training.steps):
        lines.append(run.update(step))
        enough = len(lines) >= WARM_UP + FEWEST and time.monotonic() > end
        if run.agree(int(enough)):
            break
    return lines


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
