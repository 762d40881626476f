"""Writes the trained model as a folder that transformers loads, and so do tools that read checkpoints of its version 4."""

import json
import stat
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist

from components.formats.files import write_json
from components.train.parameters import TrainingParameters

MAXIMUM_SHARD_BYTES = 4_900_000_000


def export(engine: Any, training: TrainingParameters, output: Path, maximum_shard_bytes: int = MAXIMUM_SHARD_BYTES) -> None:
    """Writes weights and configuration under the Hub's names; all ranks take part.

    transformers 5 keeps a Mixtral's experts in two tensors for each layer; its `save_pretrained` writes them one by one again.
    """
    weights = whole_weights(engine, training)
    if dist.get_rank() == 0:
        engine.module.save_pretrained(output, state_dict=weights, max_shard_size=maximum_shard_bytes)
        complete_config(output / "config.json")
        for path in output.glob("*.safetensors"):  # the library makes them readable for their owner alone
            path.chmod(stat.S_IMODE((output / "config.json").stat().st_mode))


def whole_weights(engine: Any, training: TrainingParameters) -> dict[str, torch.Tensor]:
    """The model's weights as the engine computes with them: all of them on rank 0, none on other ranks."""
    first = dist.get_rank() == 0
    if training.zero_stage < 3:
        return dict(engine.module.state_dict()) if first else {}
    whole = {}
    for name, parameter in engine.module.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter]):
            if first:
                whole[name] = parameter.detach().cpu().clone()
    return whole


def complete_config(path: Path) -> None:
    """Adds the keys that older readers look for and transformers 5 puts elsewhere or omits; removes those of training alone.

    Without a `rope_theta` at the top level, a reader of version 4 silently falls back to 10,000 and computes something else.
    """
    values = json.loads(path.read_text(encoding="utf-8"))
    for key in ("_name_or_path", "_attn_implementation"):
        values.pop(key, None)
    if values.get("head_dim", 0) is None:
        del values["head_dim"]  # some readers expect a number and fail on null
    if theta := values.get("rope_parameters", {}).get("rope_theta"):
        values["rope_theta"] = theta
    if "output_router_logits" in values:
        values["output_router_logits"] = False
    write_json(path, values | {"torch_dtype": values["dtype"], "use_cache": True})
