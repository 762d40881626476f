"""Builds the DeepSpeed engine around a model: its configuration, optimizer and sharding."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import deepspeed
import torch

from components.data.batches import BatchPlan
from components.train.parameters import TrainingParameters
from components.train.process_group import device
from components.train.request import Kernels

BUCKET_ELEMENTS = {"cpu": 2_000_000, "cuda": 500_000_000}
"""DeepSpeed's default is 5e8; on a CPU such buckets made steps ten times slower when torch fills new memory."""


def deepspeed_config(training: TrainingParameters, plan: BatchPlan) -> dict[str, Any]:
    """DeepSpeed's configuration for the training. The optimizer, its learning rates and the loss are our own."""
    bucket, pure = BUCKET_ELEMENTS[device().type], training.precision == "pure_bf16"
    return {
        "train_batch_size": plan.global_batch_size,
        "train_micro_batch_size_per_gpu": plan.micro_batch_size,
        "gradient_accumulation_steps": plan.accumulation,
        "gradient_clipping": training.gradient_clipping,
        "steps_per_print": 10**9,
        "bf16": {
            "enabled": training.precision != "fp32",
            "check_grad_overflow": False,  # a norm that is not a number ends the run, in any precision
            "bf16_master_weights_and_grads": pure,
            "bf16_optimizer_states": pure,
        },
        "data_types": {"grad_accum_dtype": "bf16" if pure else "fp32"},
        "communication_data_type": "bf16" if pure else "fp32",
        "zero_optimization": {
            "stage": training.zero_stage,
            "overlap_comm": False,
            "contiguous_gradients": device().type == "cuda",  # keeps memory unfragmented; on a CPU it is only a copy more
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
            "stage3_prefetch_bucket_size": bucket // 10,
            "stage3_param_persistence_threshold": 0,
            "stage3_gather_16bit_weights_on_model_save": True,
        },
    }


@contextmanager
def sharded_construction(training: TrainingParameters, plan: BatchPlan) -> Iterator[None]:
    """With ZeRO-3, a model that is read from a folder in this block is sharded while it is read: no rank ever holds it whole.

    A model drawn from the seed is built whole, so that its weights are the same at every ZeRO stage. Sharding is done
    transformers' way: `deepspeed.zero.Init` around a model class leaves wrong or uninitialised weights.
    """
    kept = None
    if training.zero_stage == 3 and training.architecture is None:
        from transformers.integrations import HfDeepSpeedConfig

        kept = HfDeepSpeedConfig(deepspeed_config(training, plan))
    yield
    del kept


def parameter_groups(model: torch.nn.Module, training: TrainingParameters) -> list[dict[str, Any]]:
    """The parameters that weight decay applies to and, with `decay: matrices`, those that it does not apply to: norms."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if training.decay == "all":
        return [{"params": parameters, "weight_decay": training.weight_decay}]
    # with ZeRO-3 the parameters are empty shards; ds_shape is the shape of the whole parameter
    matrices = [len(getattr(parameter, "ds_shape", parameter.shape)) >= 2 for parameter in parameters]
    pairs = list(zip(parameters, matrices, strict=True))
    return [
        {"params": [parameter for parameter, matrix in pairs if matrix], "weight_decay": training.weight_decay},
        {"params": [parameter for parameter, matrix in pairs if not matrix], "weight_decay": 0.0},
    ]


def build_engine(model: torch.nn.Module, training: TrainingParameters, plan: BatchPlan, kernels: Kernels) -> Any:
    """The engine, with a plain torch AdamW: DeepSpeed's own would be compiled at first use."""
    optimizer = torch.optim.AdamW(
        parameter_groups(model, training), lr=training.learning_rate, betas=training.adam_betas, eps=training.adam_epsilon,
        # in pure_bf16 every intermediate is rounded, as in Swallow's training; the fused kernel would compute in fp32
        fused=training.precision != "pure_bf16",
    )  # fmt: skip
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=deepspeed_config(training, plan))
    if kernels.compile:
        engine.compile()
    engine.train()
    return engine
