"""Converts bytes of F32, F16 or BF16 to float32, and back with one rounding to the nearest, ties to even."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]


def decode(data: bytes, dtype: str) -> Vector:
    """The numbers, exactly; flat."""
    if dtype == "BF16":  # the upper half of a float32; numpy has no such type
        return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, dtype="<f2" if dtype == "F16" else "<f4").astype(np.float32)


def encode(values: Vector, dtype: str) -> bytes:
    """The finite numbers in the type, little-endian."""
    if dtype != "BF16":
        return values.astype("<f2" if dtype == "F16" else "<f4").tobytes()
    bits = np.ascontiguousarray(values).view(np.uint32)
    # one less than half of the last place that stays, and one more if that place is odd: ties go to even
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
