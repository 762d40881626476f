"""A shape and a way to train it in, bytes a process out: what weights, gradients, Adam, activations and logits take.

Tensors only, at the moment of a step when most are alive; DeepSpeed's largest buffers are among them, its smaller ones, the
allocator's gaps and a GPU's own context are not.
"""

from dataclasses import dataclass

from components.base.model_summary import ModelShape, ModelSummary
from components.train.parameters import TrainingParameters

GIBIBYTE = 2**30
STATISTIC = 4
"""Bytes of a norm's or a softmax's statistic, and of everything that is computed in fp32."""
LOGIT = 12
"""Bytes a logit at the start of the backward pass: its log-probability, the loss's gradient of that, and of the logit; fp32."""
WEIGHT = {"bf16": 2, "pure_bf16": 2, "fp32": 4}
GRADIENT = {"bf16": 4, "pure_bf16": 2, "fp32": 4}
"""As they are added up over micro-batches."""
ADAM = {"bf16": 12, "pure_bf16": 6, "fp32": 12}
"""DeepSpeed's own copy of the weights, and two moments."""

FLATTENED, GATHERED = 500_000_000, 1_000_000_000
"""Values at a time: `buffered_allreduce_fallback` and `stage3_max_live_parameters` of DeepSpeed 0.19."""


@dataclass(frozen=True)
class Layout:
    """How a training is spread over processes."""

    zero_stage: int
    processes: int
    micro_batch_size: int


@dataclass(frozen=True)
class Memory:
    """Bytes of one process."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    buffers: int
    """DeepSpeed's: what it gathers or flattens for a moment."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.buffers


def memory_of(summary: ModelSummary, training: TrainingParameters, layout: Layout) -> Memory:
    """The most that one process holds. Raises `ValueError` where the model is not known."""
    parameters, shape, vocabulary = summary.parameters(), summary.shape, summary.vocabulary
    if parameters is None or shape is None or vocabulary is None:
        raise ValueError("the shape or the vocabulary of the model is not known")
    stage, share = layout.zero_stage, layout.processes
    tokens = layout.micro_batch_size * training.sequence_length
    return Memory(
        weights=WEIGHT[training.precision] * parameters // (share if stage == 3 else 1),
        gradients=GRADIENT[training.precision] * parameters // (share if stage > 1 else 1),
        optimizer=ADAM[training.precision] * parameters // share,
        activations=tokens * activation_bytes(shape, WEIGHT[training.precision], training.activation_checkpointing),
        logits=tokens * vocabulary * LOGIT,
        buffers=buffer_bytes(parameters, training.precision, stage),
    )


def buffer_bytes(parameters: int, precision: str, stage: int) -> int:
    """ZeRO-1 in bf16 adds gradients up over the ranks in flat copies; ZeRO-3 has gathered some of the weights."""
    if stage == 1 and precision == "bf16":
        return GRADIENT[precision] * min(parameters, FLATTENED)
    if stage == 3:
        return WEIGHT[precision] * min(parameters, GATHERED)
    return 0


def activation_bytes(shape: ModelShape, width: int, checkpointing: bool) -> int:
    """Bytes a token that the forward pass keeps for the backward pass, over all layers and the last norm.

    With checkpointing, every layer's input and one layer's activations. `width` is of a weight.
    """
    layer = layer_bytes(shape, width)
    last_norm = norm_bytes(shape, width)
    if checkpointing:
        return shape.layers * shape.hidden_size * width + layer + last_norm
    return shape.layers * layer + last_norm


def layer_bytes(shape: ModelShape, width: int) -> int:
    """Of one layer: two norms, attention without a stored square (sdpa, FlashAttention), and the experts of the token."""
    heads, key_value_heads = (count * shape.head_dimension for count in (shape.heads, shape.key_value_heads))
    attention = width * (2 * heads + 2 * key_value_heads) + STATISTIC * shape.heads
    expert = 4 * width * shape.intermediate_size
    routed = (shape.experts_per_token or 1) * expert
    if shape.experts:  # each choice has its own copy of the token, and its weighted result
        routed += (shape.experts_per_token or 1) * 2 * width * shape.hidden_size
    return 2 * norm_bytes(shape, width) + attention + routed


def norm_bytes(shape: ModelShape, width: int) -> int:
    """An RMS norm keeps its input in fp32, one statistic, the normed values, and those times its weight."""
    return shape.hidden_size * (STATISTIC + 2 * width) + STATISTIC
