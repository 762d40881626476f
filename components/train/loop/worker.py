"""An attempt's file in, trained weights out: one rank of a training run, started with `python -m`.

SIGTERM, SIGUSR1 and SIGUSR2 mean: write a checkpoint at the end of this step, and leave. Exit code 0 then, and an outcome
that says so: a launcher that kills everything at the first bad exit would race with the checkpoint.
"""

import os
import sys
import warnings
from pathlib import Path

from components.ranks.signals import Signals


def prepare_deepspeed() -> None:
    """Spares DeepSpeed's import what it does not need here, and its guess at the accelerator."""
    sys.modules.setdefault("mlflow", None)  # type: ignore[arg-type]  # its autotuner imports it, for seconds; not used
    # DeepSpeed still calls two collectives by the names that torch 2.13 deprecates
    warnings.filterwarnings("ignore", r"`torch\.distributed\.(all_gather_into|reduce_scatter)_tensor`", FutureWarning)
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def main(arguments: list[str]) -> int:
    """Runs one rank; returns the exit code."""
    signals = Signals()  # before the imports below, which take seconds in which a signal would kill
    prepare_deepspeed()
    from transformers.utils.logging import disable_progress_bar

    from components.errors import MartletError
    from components.train.loop.steps import train
    from components.train.parameters import TrainingRequest
    from components.train.process_group import open_process_group

    disable_progress_bar()  # the journal has its own
    attempt = TrainingRequest.model_validate_json(Path(arguments[0]).read_bytes())
    try:
        with open_process_group():
            train(attempt, lambda: signals.number)
    except MartletError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # done: the interpreter's own way out unloads torch for a second, and a signal in that time would look like a failure
    os._exit(code) if code == 0 else sys.exit(code)
