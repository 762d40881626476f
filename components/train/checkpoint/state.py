"""Takes the state that a rank owns out of a DeepSpeed engine as fragments, and puts fragments back into an engine of any size.

The state is what an update changes: the weights in the precision that Adam works in, and both moments. The weights that the
model computes with are those weights, rounded. Only this module knows where DeepSpeed 0.19 keeps the state: `_hp_mapping` for
ZeRO-1 and 2 (and its bf16 optimizer), `grad_position` for ZeRO-3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from components.train.checkpoint.fragments import Fragment, FragmentFiles

WEIGHT = "weight"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""The moments, as torch's AdamW names them."""


@dataclass(frozen=True)
class RankSlice:
    """The part of a flattened parameter that this rank updates: values `start` to `start + count`."""

    parameter: str
    start: int
    count: int
    flat: torch.Tensor
    """The tensor that Adam updates: the slices of many parameters, end to end."""
    offset: int
    """Where this slice begins in `flat`."""

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """The slice of `flat`, or of one of its moments; a view."""
        return values.detach().narrow(0, self.offset, self.count)


def shares_of(engine: Any) -> list[RankSlice]:
    """The slices of this rank, in the order of the model's parameters. Over all ranks, every value occurs once."""
    pairs = engine.module.named_parameters()
    place = sharded_share if engine.zero_optimization_partition_weights() else replicated_share
    shares = (place(engine.optimizer, name, parameter) for name, parameter in pairs)
    return [share for share in shares if share is not None and share.count > 0]


def replicated_share(optimizer: Any, name: str, parameter: Any) -> RankSlice | None:
    """With ZeRO-1 and 2, a rank has one range of all parameters laid end to end."""
    mapping = parameter._hp_mapping
    if mapping is None:
        return None
    flat = optimizer.optimizer.param_groups[mapping.param_group_index]["params"][0]
    start, count = mapping.lp_fragment_address.start, mapping.lp_fragment_address.numel
    return RankSlice(name, start, count, flat, mapping.hp_fragment_address.start)


def sharded_share(optimizer: Any, name: str, parameter: Any) -> RankSlice:
    """With ZeRO-3, each rank has one of equal ranges of every parameter; the last ones are shorter or empty."""
    group, offset, size = optimizer.grad_position[optimizer.get_param_id(parameter)]
    start = dist.get_rank() * size
    count = min(size, parameter.ds_numel - start)
    return RankSlice(name, start, count, optimizer.fp32_partitioned_groups_flat[group], offset)


def fragments_of(engine: Any) -> list[Fragment]:
    """Weights and moments of this rank's slices, after at least one update. They are views: the next update changes them."""
    state, shares = engine.optimizer.optimizer.state, shares_of(engine)
    weights = [Fragment(WEIGHT, share.parameter, share.start, share.of(share.flat)) for share in shares]
    moments = [
        Fragment(kind, share.parameter, share.start, share.of(state[share.flat][kind]))
        for kind in MOMENTS
        for share in shares
    ]
    return weights + moments


def restore(engine: Any, files: FragmentFiles, updates: int) -> None:
    """Puts the state after that many updates into a new engine; all ranks take part. Raises `CheckpointRefused`."""
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
    """Sets the moments to zero, as the padding between slices has them, and the number of updates for bias correction."""
    for flat in {id(share.flat): share.flat for share in shares}.values():
        on_device = adam.defaults["capturable"] or adam.defaults["fused"]
        step = torch.tensor(float(updates), device=flat.device if on_device else "cpu")
        adam.state[flat] = {"step": step, **{kind: torch.zeros_like(flat) for kind in MOMENTS}}


class Staging:
    """Host memory for one copy of a rank's fragments, reused by each checkpoint: new pages cost more than copying."""

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
