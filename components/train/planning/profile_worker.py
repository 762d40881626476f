"""An attempt's file in, a line of metrics a step out: one rank of a profile, started with `python -m`."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from components.train.loop.worker import prepare_deepspeed

if TYPE_CHECKING:
    from components.train.loop.steps import TrainingLoop
    from components.train.metrics import Line


def main(arguments: list[str]) -> int:
    """Makes the steps; returns the exit code."""
    prepare_deepspeed()
    from components.errors import MartletError
    from components.train.loop.steps import TrainingLoop
    from components.train.metrics import write_lines
    from components.train.parameters import TrainingRequest
    from components.train.process_group import open_process_group

    attempt = TrainingRequest.model_validate_json(Path(arguments[0]).read_bytes())
    try:
        with open_process_group():
            run = TrainingLoop(attempt)
            lines = make_steps(run)
            if run.rank == 0:
                write_lines(attempt.metrics, lines)
    except MartletError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def make_steps(run: "TrainingLoop") -> "list[Line]":
    """The lines of as many steps as are worth timing; all ranks make the same number."""
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
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code) if code == 0 else sys.exit(code)
