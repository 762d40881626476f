"""An attempt's file in, a line of metrics a step out: one rank of a rehearsal, started with `python -m`."""

import os
import sys
from pathlib import Path

from components.train.worker import prepare_deepspeed


def main(arguments: list[str]) -> int:
    """Makes the steps; returns the exit code."""
    prepare_deepspeed()
    from components.errors import MartletError
    from components.train.attempt import Attempt
    from components.train.metrics import write_lines
    from components.train.worker_engine import open_process_group
    from components.train.worker_steps import Run

    attempt = Attempt.model_validate_json(Path(arguments[0]).read_bytes())
    try:
        with open_process_group():
            run = Run(attempt)
            lines = [run.update(step) for step in range(attempt.training.steps)]
            if run.rank == 0:
                write_lines(attempt.metrics, lines)
    except MartletError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code) if code == 0 else sys.exit(code)
