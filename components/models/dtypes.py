"""The number types that weights are stored in: what safetensors, config.json and a training's precision call each of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DType:
    """One type, under each of its names."""

    safetensors: str
    torch: str
    """Also what config.json calls it."""
    precisions: frozenset[str]
    """The values of `train.precision` whose weights are stored in it."""


DTYPES = {
    dtype.safetensors: dtype
    for dtype in (
        DType("F32", "float32", frozenset({"fp32"})),
        DType("F16", "float16", frozenset()),
        DType("BF16", "bfloat16", frozenset({"bf16", "pure_bf16"})),
    )
}
"""By safetensors' name. Models may come in any of them; a training writes those that have precisions."""


def dtype_of_precision(precision: str) -> DType:
    """The type that a training of this precision stores its weights in."""
    return next(dtype for dtype in DTYPES.values() if precision in dtype.precisions)


def torch_name(safetensors: str) -> str:
    """What torch and config.json call a stored type; safetensors' own name if it is none of `DTYPES`."""
    return DTYPES[safetensors].torch if safetensors in DTYPES else safetensors
