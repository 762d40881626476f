"""What `train` promises: a model and token shards in, trained weights out."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from components.base.component import Component, Report
from components.base.fields import Fields
from components.base.ports import Context

WARM_START = "origin.json"
"""The file in a training's scratch folder that says which other training's checkpoint it started from: a `WarmStart`."""


class WarmStart(Fields):
    """A checkpoint of another training: the updates before it were made there, with the same batches."""

    fingerprint: str
    step: int
    """Updates made in the checkpoint."""


class TrainReport(Report):
    """What was trained, for how long, and where the loss (nats per token) and held-out bits per byte began and ended."""

    parameters: int
    steps: int
    tokens: int
    first_loss: float | None
    last_loss: float | None
    first_bits_per_byte: dict[str, float]
    last_bits_per_byte: dict[str, float]
    """Of held-out text by language, before the first update and after the last; empty if none was packed."""
    warm_start: WarmStart | None
    """None: every update was made by this training."""

    def headline(self) -> str:
        """Parameters, steps, tokens and the loss, first to last."""
        if self.first_loss is None or self.last_loss is None:
            return f"{self.parameters / 1e6:.1f} M parameters, kept as they came"
        bits = (f"{name} {bits:.3f} → {self.last_bits_per_byte[name]:.3f}" for name, bits in self.first_bits_per_byte.items())
        return (
            f"{self.parameters / 1e6:.1f} M parameters, {self.steps:,} steps, {self.tokens:,} tokens, "
            f"loss {self.first_loss:.3f} → {self.last_loss:.3f}" + "".join(f", {each} bits per byte" for each in bits)
        )


class Trainer(Component):
    """Writes a model folder (`components.models.folder`) and `losses.jsonl`, one line for each step."""

    distributed: ClassVar[bool] = True

    @abstractmethod
    def run(self, context: Context, model: Path, tokens: Path, output: Path) -> TrainReport:
        """Resumes what an earlier attempt left in `context.scratch`. Raises `TokenizerMismatch`, `WorkerFailed`."""
