"""Passes a model through untrained: for a base model that is trained already, and for dry runs."""

import shutil
from math import prod
from pathlib import Path
from typing import ClassVar, Literal

from components.base.ports import Context
from components.errors import InputError
from components.models.folder import read_config, tensor_shapes
from components.train.contract import Trainer, TrainReport


class PassthroughTrainer(Trainer):
    """Passes the model through; `tokens` is not read."""

    kind: Literal["passthrough"]
    version: Literal[1]
    is_passthrough: ClassVar[bool] = True

    def run(self, context: Context, model: Path, tokens: Path, output: Path) -> TrainReport:  # noqa: ARG002
        """Copies the model folder, with an empty `losses.jsonl`. Raises `InputError` if it has no weights."""
        read_config(model)
        shapes = tensor_shapes(model)
        if not shapes:
            raise InputError(f"{model} has no *.safetensors to keep. Collect a model with weights, or train (kind: deepspeed).")
        shutil.copytree(model, output, dirs_exist_ok=True)
        (output / "losses.jsonl").write_text("", encoding="utf-8")
        context.journal.say("weights were kept as they came (kind: passthrough)")
        parameters = sum(prod(shape) for shape in shapes.values())
        return TrainReport(
            parameters=parameters, steps=0, tokens=0, first_loss=None, last_loss=None,
            first_bits_per_byte={}, last_bits_per_byte={}, warm_start=None
        )
