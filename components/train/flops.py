"""Counts the floating-point operations of a training step from the model's shape: what `mfu` is measured against.

A multiplication and an addition are two operations. The backward pass costs twice the forward pass, so training costs
three times as much as the forward pass; recomputed activations are not counted (MFU as in PaLM, arXiv 2204.02311, appendix B).
Unlike there, attention counts only what a causal model with its window must compute: about half of the square.
"""

from components.base.model_summary import ModelShape, ModelSummary

TRAINING = 3
"""The work of one update in forward passes: forward, and backward for the activations and for the weights."""


def attended(sequence_length: int, window: int | None) -> float:
    """Keys that a query sees, on average over a sequence: its own and those before it, within the window."""
    reach = min(window or sequence_length, sequence_length)
    return (reach * (reach + 1) / 2 + (sequence_length - reach) * reach) / sequence_length


def forward_flops(summary: ModelSummary, keys: float) -> float:
    """Operations of one token's forward pass if each query sees `keys` keys. Lookups, norms and softmax are left out."""
    shape, vocabulary = summary.shape, summary.vocabulary
    if shape is None or vocabulary is None:
        raise ValueError("the shape or the vocabulary of the model is not known")
    return shape.layers * layer_flops(shape, keys) + 2 * shape.hidden_size * vocabulary


def layer_flops(shape: ModelShape, keys: float) -> float:
    """Operations of one layer: projections, scores, weighted values, the router, and the experts that the token is sent to."""
    attention = 2 * shape.attention_parameters + 4 * shape.heads * shape.head_dimension * keys
    return attention + 2 * shape.router_parameters + 2 * (shape.experts_per_token or 1) * shape.expert_parameters


def step_flops(summary: ModelSummary, sequence_length: int, sequences: int) -> float:
    """Operations of one update with a batch of `sequences` sequences."""
    keys = attended(sequence_length, summary.shape.sliding_window if summary.shape else None)
    return TRAINING * forward_flops(summary, keys) * sequence_length * sequences
