"""One rank of a training, started with `python -m`: trains from the newest checkpoint to the end, or until a signal.

A rank that is asked to stop writes a checkpoint at the end of the current step, together with all others.
"""

import os
import sys
import warnings
from collections.abc import Sequence

from components.ranks.main import Rank, end_process, run_rank
from components.ranks.outcome import Outcome
from components.train.request import TrainingRequest


def prepare_deepspeed() -> None:
    """Keeps DeepSpeed from importing what is not needed here, and tells it which accelerator there is."""
    sys.modules.setdefault("mlflow", None)  # type: ignore[arg-type]  # its autotuner imports it, for seconds; not used
    # DeepSpeed still calls two collectives by the names that torch 2.13 deprecates
    warnings.filterwarnings("ignore", r"`torch\.distributed\.(all_gather_into|reduce_scatter)_tensor`", FutureWarning)
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def main(arguments: Sequence[str]) -> int:
    """Runs the rank; returns the exit code."""
    return run_rank(TrainingRequest, arguments, work)


def work(request: TrainingRequest, rank: Rank) -> Outcome | None:
    """Trains; rank 0 returns the outcome for all."""
    # imported here, because this takes seconds in which a signal may come
    prepare_deepspeed()
    from transformers.utils.logging import disable_progress_bar

    from components.train.loop.steps import train
    from components.train.process_group import open_process_group

    disable_progress_bar()  # the journal has its own
    with open_process_group():
        return train(request, lambda: rank.signals.number)


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
