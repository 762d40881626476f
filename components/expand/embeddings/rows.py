"""Computes the new rows of a matrix from its base rows, one after another, in float32.

Sums go row by row with elementwise additions: the library's reductions choose their order, and so the last bit, by the machine.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from components.errors import InputError
from components.expand.embeddings.initialise import (
    GlobalMean,
    Initialisation,
    MeanOfSubpieces,
    NoisyMean,
    Normal,
    PositionWeighted,
)
from components.models.float_conversion import Vector, decode
from components.models.safetensors_stream import Tensor

Wide = NDArray[np.float64]
RowStarter = Callable[[int, Sequence[int]], Vector]
"""Returns a row, given its number and its piece's subpieces."""
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Matrix:
    """The base rows of an embedding or head, [pieces, width], read from the open file when asked for: none is kept.

    Read, not mapped: mapped pages would count as this process's memory.
    """

    tensor: Tensor
    stream: BinaryIO
    pieces: int
    """Rows that belong to a piece of the base: those after them are padding."""
    number: int
    """0 for the embedding and what is tied to it, 1 for an output head: part of the seed."""
    last_weighs_most: bool
    """Whether the last subpiece has the greatest weight, if weights go by position: True in an input embedding."""
    initializer_range: float | None
    """config.json's standard deviation of a new row."""

    @property
    def width(self) -> int:
        """The length of a row."""
        return self.tensor.shape[1]

    @property
    def row_bytes(self) -> int:
        """How many bytes of the file a row takes."""
        return self.tensor.size // self.tensor.shape[0]

    def rows(self, begin: int, end: int) -> Vector:
        """Rows `begin` to `end`, [end - begin, width]."""
        size = (end - begin) * self.row_bytes
        data = os.pread(self.stream.fileno(), size, self.tensor.offset + begin * self.row_bytes)
        return decode(data, self.tensor.dtype).reshape(end - begin, self.width)

    def row(self, number: int) -> Vector:
        """One base row, [width]. A number that is not a base piece's is our own mistake."""
        assert 0 <= number < self.pieces, f"row {number} of {self.pieces}"
        row: Vector = self.rows(number, number + 1)[0]
        return row

    def __iter__(self) -> Iterator[Wide]:
        """Every base row in float64, first to last."""
        for begin in range(0, self.pieces, ROWS_AT_ONCE):
            yield from self.rows(begin, min(begin + ROWS_AT_ONCE, self.pieces)).astype(np.float64)


def row_starter(matrix: Matrix, initialise: Initialisation, seed: int) -> RowStarter:
    """How the matrix's new rows start. Raises `InputError` if config.json lacks what that needs."""
    match initialise:
        case MeanOfSubpieces():
            return lambda _, subpieces: weighted_mean(matrix, subpieces, [1] * len(subpieces))
        case PositionWeighted():
            return lambda _, subpieces: weighted_mean(matrix, subpieces, positions(matrix, len(subpieces)))
        case NoisyMean(noise=noise):
            return _noisy(matrix, noise * deviation(matrix), seed)
        case GlobalMean():
            mean = global_mean(matrix).astype(np.float32)
            return lambda *_: mean
        case Normal():
            return _normal(matrix, seed)


def weighted_mean(matrix: Matrix, subpieces: Sequence[int], weights: Sequence[int]) -> Vector:
    """The mean of base rows in float32, summed from the first to the last; weights are whole numbers, one a row."""
    total = matrix.row(subpieces[0]) * np.float32(weights[0])
    for number, weight in zip(subpieces[1:], weights[1:], strict=True):
        total = total + matrix.row(number) * np.float32(weight)
    return total / np.float32(sum(weights))


def positions(matrix: Matrix, count: int) -> list[int]:
    """The weights of `count` subpieces: 1 to `count`, rising or falling as the matrix needs it."""
    rising = list(range(1, count + 1))
    return rising if matrix.last_weighs_most else rising[::-1]


def global_mean(matrix: Matrix) -> Wide:
    """The mean of all base rows, [width], in float64."""
    total = np.zeros(matrix.width)
    for row in matrix:
        total += row
    return total / matrix.pieces


def deviation(matrix: Matrix) -> Wide:
    """Each dimension's standard deviation over all base rows, [width], in float64: squares about the mean over their number."""
    mean, total = global_mean(matrix), np.zeros(matrix.width)
    for row in matrix:
        difference = row - mean
        total += difference * difference
    return np.sqrt(total / matrix.pieces)


def standard_normal(matrix: Matrix, seed: int, row: int) -> Wide:
    """`width` normal numbers of this row alone, whichever other rows are made."""
    return np.random.Generator(np.random.PCG64([seed, matrix.number, row])).standard_normal(matrix.width)


def _noisy(matrix: Matrix, spread: Wide, seed: int) -> RowStarter:
    """The mean of the subpieces' rows plus normal noise of this spread."""
    def start(row: int, subpieces: Sequence[int]) -> Vector:
        mean = weighted_mean(matrix, subpieces, [1] * len(subpieces))
        return (mean + spread * standard_normal(matrix, seed, row)).astype(np.float32)

    return start


def _normal(matrix: Matrix, seed: int) -> RowStarter:
    """Rows as of a fresh model. Raises `InputError` without an `initializer_range`."""
    spread = matrix.initializer_range
    if spread is None or not math.isfinite(spread) or spread <= 0:
        raise InputError(
            f"{matrix.tensor.file.parent / 'config.json'}: initializer_range is {spread}; `initialise: {{kind: normal}}` needs "
            "a positive number there. Add the one that the model was made with (0.02 as a rule), or take another kind."
        )
    return lambda row, _: (spread * standard_normal(matrix, seed, row)).astype(np.float32)
