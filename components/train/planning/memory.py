"""Calculates the memory of one process of a training: weights, gradients, Adam's state, activations, logits, buffers.

Only tensors are counted, at the moment of a step when most are alive. DeepSpeed's largest buffers are among them; its smaller
buffers, the allocator's gaps and a GPU's own context are not.
"""

from dataclasses import dataclass

from components.base.model_summary import ModelShape, ModelSummary
from components.train.parameters import TrainingParameters

GIBIBYTE = 2**30
STATISTIC = 4
"""Bytes of a norm's or a softmax's statistic, and of everything that is computed in fp32."""
LOGIT = 12
"""Bytes per logit at the start of the backward pass: log-probability, its gradient and the logit's gradient, each in fp32."""
WEIGHT = {"bf16": 2, "pure_bf16": 2, "fp32": 4}
GRADIENT = {"bf16": 4, "pure_bf16": 2, "fp32": 4}
"""Bytes per gradient, as they are summed over micro-batches."""
ADAM = {"bf16": 12, "pure_bf16": 6, "fp32": 12}
"""Bytes per parameter of DeepSpeed's own copy of the weights and of the two moments."""

FLATTENED, GATHERED = 500_000_000, 1_000_000_000
"""Most values at a time in `buffered_allreduce_fallback` and by `stage3_max_live_parameters` of DeepSpeed 0.19."""


@dataclass(frozen=True)
class Layout:
    """How a training is spread over processes."""

    zero_stage: int
    processes: int
    micro_batch_size: int


@dataclass(frozen=True)
class Memory:
    """The bytes of one process, by what they hold."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    buffers: int
    """What DeepSpeed gathers or flattens for a moment."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.buffers


def memory_of(summary: ModelSummary, training: TrainingParameters, layout: Layout) -> Memory:
    """The most that one process holds. Raises `ValueError` if the model's shape is not known."""
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
    """With ZeRO-1 in bf16, flat copies of gradients that are summed over the ranks; with ZeRO-3, gathered weights."""
    if stage == 1 and precision == "bf16":
        return GRADIENT[precision] * min(parameters, FLATTENED)
    if stage == 3:
        return WEIGHT[precision] * min(parameters, GATHERED)
    return 0


def activation_bytes(shape: ModelShape, width: int, checkpointing: bool) -> int:
    """Bytes per token that the forward pass keeps for the backward pass, over all layers and the last norm.

    With checkpointing, it keeps every layer's input and one layer's activations. `width` is the bytes of a weight.
    """
    layer = layer_bytes(shape, width)
    last_norm = norm_bytes(shape, width)
    if checkpointing:
        return shape.layers * shape.hidden_size * width + layer + last_norm
    return shape.layers * layer + last_norm


def layer_bytes(shape: ModelShape, width: int) -> int:
    """Bytes of one layer: two norms, attention without a stored square (sdpa, FlashAttention), and the token's experts."""
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
