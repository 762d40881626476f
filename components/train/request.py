"""The request that the trainer writes for its ranks: parameters, folders, and the kernels that the site computes with."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from components.base.fields import Fields
from components.ranks.outcome import Outcome, read_outcome
from components.ranks.request import RankRequest
from components.train.environment import ENVIRONMENT
from components.train.parameters import TrainingParameters


class Kernels(Fields):
    """The code that the site computes with: losses and gradients differ by rounding alone."""

    attention_implementation: Literal["sdpa", "flash_attention_2", "eager"]
    compile: bool
    fused_kernels: bool


class TrainingRequest(RankRequest):
    """A training as its ranks read it."""

    worker: ClassVar[str] = "components.train.loop.worker"
    variables: ClassVar[Mapping[str, str]] = ENVIRONMENT

    training: TrainingParameters
    model: Path
    tokens: Path
    output: Path
    """The model folder; it appears, whole, when training has finished."""
    metrics: Path
    micro_batch_size: int
    workers: int
    """Threads that may read files at once."""
    kernels: Kernels
    asynchronous_checkpoints: bool
    accelerator_tflops: float | None

    def is_done(self) -> bool:
        """Whether the training has finished and its model is whole."""
        outcome = read_outcome(self.outcome)
        return outcome is not None and outcome.finished and self.output.exists()

    def reached(self, outcome: Outcome) -> str:
        """The step after which a checkpoint is kept."""
        return f" after step {outcome.done:,} of {self.training.steps:,}"
