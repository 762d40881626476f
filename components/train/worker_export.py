"""An engine in, a model folder out that transformers loads."""

from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist

from components.train.attempt import Training


def export(engine: Any, training: Training, output: Path) -> None:
    """Writes weights and configuration under the hub's names; all ranks take part."""
    weights = whole_weights(engine, training)
    if dist.get_rank() == 0:
        engine.module.save_pretrained(output, state_dict=weights)
        for path in output.glob("*.safetensors"):
            path.chmod(0o644)  # the library leaves them to their owner alone


def whole_weights(engine: Any, training: Training) -> dict[str, torch.Tensor]:
    """The model's weights as the engine computes with them: on rank 0 all of them, elsewhere none."""
    first = dist.get_rank() == 0
    if training.zero_stage < 3:
        return dict(engine.module.state_dict()) if first else {}
    whole = {}
    for name, parameter in engine.module.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter]):
            if first:
                whole[name] = parameter.detach().cpu().clone()
    return whole
