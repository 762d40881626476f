"""Measures how evenly a sparse model's experts are used, from its router logits."""

from collections.abc import Sequence

import torch


@torch.no_grad()
def expert_load(router_logits: Sequence[torch.Tensor], choices: int) -> torch.Tensor:
    """How many (token, choice) pairs each layer sent to each expert, (layers, experts), from its (tokens, experts) logits."""
    layers = []
    for logits in router_logits:
        experts = torch.arange(logits.shape[-1], device=logits.device)
        chosen = logits.topk(choices, dim=-1).indices
        layers.append((chosen[..., None] == experts).sum(dim=(0, 1)))
    return torch.stack(layers).double()


def balance_of(load: torch.Tensor) -> dict[str, float]:
    """Curves of a step's load, (layers, experts), relative to an even spread: all are 1 if every expert gets the same.

    `expert_load_max` and `_min` are of single experts in single layers, where a collapse begins; `router_entropy` is the mean
    over the layers, and `expert_load/n` is the mean load of expert n over all layers.
    """
    share = load / load.sum(dim=1, keepdim=True)
    relative = share * load.shape[1]
    evenness = torch.special.entr(share).sum(dim=1) / torch.log(torch.tensor(float(load.shape[1])))
    facts = {"router_entropy": evenness.mean(), "expert_load_max": relative.max(), "expert_load_min": relative.min()}
    experts = {f"expert_load/{number}": mean for number, mean in enumerate(relative.mean(dim=0))}
    return {name: round(float(value), 6) for name, value in (facts | experts).items()}
