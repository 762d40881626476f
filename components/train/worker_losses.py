"""An engine and a micro-batch of tokens in, what is minimised out: the one place where labels are shifted."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from components.train.attempt import Training


def losses_of(engine: Any, tokens: torch.Tensor, training: Training) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy in nats of (micro-batch, sequence + 1) tokens, in fp32, and the router's loss or 0.

    Labels are shifted here and nowhere else: the model is not given any. Every micro-batch has as many targets as
    any other, so the mean of their means is the global batch's mean.
    """
    router = {} if training.router_auxiliary_loss is None else {"output_router_logits": True}
    output = engine(input_ids=tokens[:, :-1], use_cache=False, **router)
    loss = cross_entropy(output.logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
    return loss, output.aux_loss.float() if router else torch.zeros_like(loss)
