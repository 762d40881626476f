"""Builds the transformers model that is trained: from a model folder, or from a shape with random weights."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, MistralConfig, MixtralConfig

from components.data.token_shards import TokenIndex
from components.models.dtypes import dtype_of_precision
from components.train.loop.kernels import check_kernels
from components.train.parameters import Architecture, TrainingParameters
from components.train.request import Kernels

RMS_NORM_EPSILON = 1e-5
INITIAL_DEVIATION = 0.02
"""Both are those of Mistral-7B-v0.1 and Mixtral-8x7B-v0.1; the default epsilon of transformers differs."""


def build_config(training: TrainingParameters, model: Path, index: TokenIndex) -> Any:
    """The model's configuration, as it is trained and exported."""
    if training.architecture is None:
        config = AutoConfig.from_pretrained(model)
        config.max_position_embeddings = training.maximum_positions
    else:
        config = config_of(training.architecture, training.maximum_positions, index)
    if training.router_auxiliary_loss is not None:
        config.router_aux_loss_coef = training.router_auxiliary_loss
    return config


def config_of(shape: Architecture, maximum_positions: int, index: TokenIndex) -> Any:
    """A Mistral's or a Mixtral's configuration of this shape, with the tokenizer's vocabulary."""
    common = {
        "vocab_size": index.tokenizer_fingerprint.pieces,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "max_position_embeddings": maximum_positions,
        "sliding_window": shape.sliding_window,
        "tie_word_embeddings": shape.tie_word_embeddings,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "rms_norm_eps": RMS_NORM_EPSILON,
        "initializer_range": INITIAL_DEVIATION,
        "bos_token_id": index.tokenizer_fingerprint.bos,
        "eos_token_id": index.tokenizer_fingerprint.eos,
    }
    if shape.experts is None:
        return MistralConfig(**common)
    return MixtralConfig(**common, num_local_experts=shape.experts, num_experts_per_tok=shape.experts_per_token)


def build_model(training: TrainingParameters, model: Path, config: Any, kernels: Kernels) -> torch.nn.Module:
    """The model, the same on every rank: read from the folder, or drawn from the seed (the same at any ZeRO stage).

    Raises `InputError` if this machine lacks what the site's kernels need.
    """
    check_kernels(kernels, cuda=torch.cuda.is_available())
    how = {
        "dtype": getattr(torch, dtype_of_precision(training.precision).torch),
        "attn_implementation": kernels.attention_implementation,
    }
    if training.architecture is None:
        network = AutoModelForCausalLM.from_pretrained(model, config=config, **how)
    else:
        torch.manual_seed(training.seed)
        network = AutoModelForCausalLM.from_config(config, **how)
    if kernels.fused_kernels:
        fuse(network)
    if training.activation_checkpointing:
        network.activation_checkpointing_enable({"use_reentrant": False})
    result: torch.nn.Module = network
    return result



def fuse(network: Any) -> None:
    """Puts Liger's kernels in place of norms, rotary positions and gated layers.

    Liger's fused cross-entropy is not used: it shifts labels itself, and does not know our masked targets.
    """
    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    _apply_liger_kernel_to_instance(network, cross_entropy=False, fused_linear_cross_entropy=False)
