"""Computes what a training minimises, from an engine and a micro-batch of tokens: the one place where labels are shifted."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy

from components.train.loop.router import balance_of, expert_load
from components.train.parameters import TrainingParameters

UNCOUNTED = -100
"""The target of positions that do not count in the loss."""


class Objective:
    """What a training minimises: which targets count, what documents see, and what is added to the cross-entropy."""

    def __init__(self, training: TrainingParameters, eos: int, config: Any) -> None:
        """`eos` ends every document; `config` is the model's."""
        self.training, self.eos = training, eos
        self.experts: int | None = getattr(config, "num_local_experts", None)  # of a layer; None: a dense model
        self.choices = config.num_experts_per_tok if self.experts else 0

    def targets(self, tokens: torch.Tensor) -> torch.Tensor:
        """The (micro-batch, sequence) targets of (micro-batch, sequence + 1) tokens; masked ones are `UNCOUNTED`."""
        if self.training.loss_after_eos:
            return tokens[:, 1:]
        return tokens[:, 1:].masked_fill(tokens[:, :-1] == self.eos, UNCOUNTED)

    def mean_targets(self, batches: Sequence[torch.Tensor]) -> float:
        """Counted targets of a micro-batch of this step, on average over all micro-batches of all ranks.

        Every micro-batch is divided by it, so that the global batch's mean is over its targets, however they are spread.
        """
        if self.training.loss_after_eos:
            return float(batches[0][:, 1:].numel())
        count = torch.stack([(self.targets(tokens) != UNCOUNTED).sum() for tokens in batches]).sum()
        dist.all_reduce(count)
        return int(count) / (len(batches) * dist.get_world_size())

    def inputs(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """The model's inputs from (micro-batch, sequence + 1) tokens; without labels, which it would shift once more."""
        inputs = {"input_ids": tokens[:, :-1]}
        if self.training.attention == "within_documents":
            inputs["position_ids"] = positions(inputs["input_ids"], self.eos)
        return inputs

    def curves(self, facts: torch.Tensor) -> dict[str, float]:
        """The mean over a global batch of what `losses_of` returns second, by name."""
        loss, z, router = facts[:3].tolist()
        penalty = {} if self.training.z_loss is None else {"z_loss": z}
        balance = {"router_loss": router} | balance_of(facts[3:].reshape(-1, self.experts)) if self.experts else {}
        return {"loss": loss} | penalty | balance


def positions(tokens: torch.Tensor, eos: int) -> torch.Tensor:
    """The place of each token in its document: 0 at a sample's start and after each EOS.

    Wherever positions begin at 0 again, transformers lets no token see an earlier document (`find_packed_sequence_indices`);
    FlashAttention takes the documents' lengths from them.
    """
    places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    begins = torch.zeros_like(tokens)
    begins[:, 1:] = places[:, 1:] * (tokens[:, :-1] == eos)
    return places - begins.cummax(dim=1).values


def losses_of(
    engine: Any, tokens: torch.Tensor, objective: Objective, mean_targets: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What is minimised for (micro-batch, sequence + 1) tokens, facts for `Objective.curves`, and each sample's loss.

    Losses are in nats, in fp32. Each sample's loss, (micro-batch, 2): the sum of its losses and its counted targets.
    The facts, in fp64: cross-entropy, mean of logsumexp² (0 if `z_loss` is null), the router's load-balancing loss
    (0 for a dense model), and the experts' load. `mean_targets` is as `Objective.mean_targets` gives it. Nothing is divided
    here by the accumulation steps or the ranks: DeepSpeed does that, once, in `backward`.
    """
    training, sparse = objective.training, objective.experts is not None
    router = {"output_router_logits": True} if sparse else {}
    output = engine(**objective.inputs(tokens), use_cache=False, **router)
    logits, targets = output.logits.flatten(0, 1).float(), objective.targets(tokens).flatten()
    each = cross_entropy(logits, targets, ignore_index=UNCOUNTED, reduction="none")
    loss = each.sum() / mean_targets
    z = balance = torch.zeros_like(loss)
    total = loss
    if training.z_loss is not None:
        z = (logits.logsumexp(dim=-1).square() * (targets != UNCOUNTED)).sum() / mean_targets
        total = total + training.z_loss * z
    if sparse:
        balance = output.aux_loss.float()
    if training.router_auxiliary_loss is not None:
        total = total + training.router_auxiliary_loss * balance
    facts = torch.stack([loss, z, balance]).detach().double()
    if sparse:
        facts = torch.cat([facts, expert_load(output.router_logits, objective.choices).flatten()])
    counted = (targets != UNCOUNTED).to(each.dtype)
    by_sample = torch.stack([each.detach(), counted]).reshape(2, len(tokens), -1).double().sum(dim=2).T
    return total, facts, by_sample
