"""An engine in, the fragments of its state that this rank owns out; and fragments back into an engine of any size.

What is kept is what an update changes: the weights in the precision that Adam works in, and both moments. The weights that
the model computes with are these, rounded. Only this module knows where DeepSpeed 0.19 keeps them: `_hp_mapping` for ZeRO-1
and 2 (and its bf16 optimizer), `grad_position` for ZeRO-3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from components.train.checkpoint.fragments import Fragment, FragmentFiles

WEIGHT = "weight"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""As torch's AdamW names them."""


@dataclass(frozen=True)
class RankSlice:
    """The part of a flattened parameter that this rank updates: values `start` to `start + count`."""

    parameter: str
    start: int
    count: int
    flat: torch.Tensor
    """What Adam updates: many parameters' shares, end to end."""
    offset: int
    """Where this share begins in it."""

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """The share of `flat`, or of a moment of it; a view."""
        return values.detach().narrow(0, self.offset, self.count)


def shares_of(engine: Any) -> list[RankSlice]:
    """The shares of this rank, in the order of the model's parameters; over all ranks, every value once."""
    pairs = engine.module.named_parameters()
    place = sharded_share if engine.zero_optimization_partition_weights() else replicated_share
    shares = (place(engine.optimizer, name, parameter) for name, parameter in pairs)
    return [share for share in shares if share is not None and share.count > 0]


def replicated_share(optimizer: Any, name: str, parameter: Any) -> RankSlice | None:
    """ZeRO-1 and 2: a range of all parameters end to end."""
    mapping = parameter._hp_mapping
    if mapping is None:
        return None
    flat = optimizer.optimizer.param_groups[mapping.param_group_index]["params"][0]
    start, count = mapping.lp_fragment_address.start, mapping.lp_fragment_address.numel
    return RankSlice(name, start, count, flat, mapping.hp_fragment_address.start)


def sharded_share(optimizer: Any, name: str, parameter: Any) -> RankSlice:
    """ZeRO-3: one of equal ranges of each parameter, the last ones shorter or empty."""
    group, offset, size = optimizer.grad_position[optimizer.get_param_id(parameter)]
    start = dist.get_rank() * size
    count = min(size, parameter.ds_numel - start)
    return RankSlice(name, start, count, optimizer.fp32_partitioned_groups_flat[group], offset)


def fragments_of(engine: Any) -> list[Fragment]:
    """Weights and moments of this rank's shares, after at least one update; views, which the next update changes."""
    state, shares = engine.optimizer.optimizer.state, shares_of(engine)
    weights = [Fragment(WEIGHT, share.parameter, share.start, share.of(share.flat)) for share in shares]
    moments = [
        Fragment(kind, share.parameter, share.start, share.of(state[share.flat][kind]))
        for kind in MOMENTS
        for share in shares
    ]
    return weights + moments


def restore(engine: Any, files: FragmentFiles, updates: int) -> None:
    """Puts the state after so many updates into a new engine; all ranks take part. Raises `CheckpointRefused`."""
    optimizer, sharded = engine.optimizer, engine.zero_optimization_partition_weights()
    if sharded:
        optimizer.checkpoint_event_prologue()
    shares = shares_of(engine)
    begin_moments(optimizer.optimizer, shares, updates)
    for share in shares:
        for kind in (WEIGHT, *MOMENTS):
            values = share.flat if kind == WEIGHT else optimizer.optimizer.state[share.flat][kind]
            share.of(values).copy_(files.read(kind, share.parameter, share.start, share.count))
    if not sharded:
        optimizer.update_lp_params()
        return
    parameters = dict(engine.module.named_parameters())
    for share in shares:
        parameters[share.parameter].ds_tensor.detach().narrow(0, 0, share.count).copy_(share.of(share.flat))
    optimizer.checkpoint_event_epilogue()


def begin_moments(adam: torch.optim.Optimizer, shares: Sequence[RankSlice], updates: int) -> None:
    """Moments of zero, which is what the padding between shares has, and the updates that bias correction goes by."""
    for flat in {id(share.flat): share.flat for share in shares}.values():
        on_device = adam.defaults["capturable"] or adam.defaults["fused"]
        step = torch.tensor(float(updates), device=flat.device if on_device else "cpu")
        adam.state[flat] = {"step": step, **{kind: torch.zeros_like(flat) for kind in MOMENTS}}


class Staging:
    """Host memory for one copy of a rank's fragments, kept for the next checkpoint: new pages cost more than copying."""

    def __init__(self) -> None:
        self._room: list[torch.Tensor] = []

    def hold(self, fragments: Sequence[Fragment]) -> list[Fragment]:
        """The fragments as they are now, in memory that no update changes."""
        on_accelerator = any(fragment.values.is_cuda for fragment in fragments)
        if not self._room:
            self._room = [
                torch.empty(fragment.values.shape, dtype=fragment.values.dtype, pin_memory=on_accelerator)
                for fragment in fragments
            ]
        held = []
        for fragment, room in zip(fragments, self._room, strict=True):
            room.copy_(fragment.values, non_blocking=True)
            held.append(Fragment(fragment.kind, fragment.parameter, fragment.start, room))
        if on_accelerator:
            torch.cuda.synchronize()
        return held
