"""Checks that a restored model is the one that was saved, by its loss on the first tokens of the data."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from components.errors import CheckpointRefused

TOKENS = 64
TOLERANCE = 0.05
"""In nats. On one machine the same weights give the same loss to the last bit, with any number of processes; other kernels
and other hardware round differently. A model that was put together wrongly is off by whole nats."""


class LossProbe:
    """A fixed piece of text that the model predicts without learning from it."""

    def __init__(self, engine: Any, sample: NDArray[np.int64]) -> None:
        """`sample` is the first sample of the data."""
        self.engine = engine
        self.tokens = torch.from_numpy(sample[None, : TOKENS + 1].astype(np.int64))

    def loss(self) -> float:
        """Mean cross-entropy in nats. All ranks take part, and all compute the same value."""
        tokens = self.tokens.to(self.engine.device)
        self.engine.eval()
        # not compiled: another length would make the training's graph slower
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            logits = self.engine(input_ids=tokens[:, :-1], use_cache=False).logits
            loss = float(cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten()))
        self.engine.train()
        return loss

    def compare(self, stated: float, checkpoint: Path) -> None:
        """Raises `CheckpointRefused` unless the loss is the one that was `stated` when the checkpoint was written."""
        found = self.loss()
        if not abs(found - stated) <= TOLERANCE:
            raise CheckpointRefused(
                f"{checkpoint}: the loss on the same {self.tokens.shape[1] - 1:,} tokens was {stated:.4f} when it was written, "
                f"and is {found:.4f} after it was loaded; a difference of at most {TOLERANCE} is expected. Training did not "
                "resume. Train with the number of processes, the precision and the software that wrote it, or remove it."
            )
