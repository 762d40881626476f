"""Weights in, the order in which the sources take turns out: an exact mixture, looked up in O(1).

The order is Tijdeman's solution of the chairman assignment problem (Discrete Mathematics 32, 1980): after any number
of samples, every one of K sources is within 1 - 1/(2K - 2) < 1 of its share. Counts in any window, not only in a
prefix, are hence less than two samples off, and at most one where there are two sources. The order repeats after as
many samples as the weights' common denominator, and over each such period the mixture is exact.
"""

import heapq
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

MAXIMUM_PERIOD = 1_000_000


def whole_weights(weights: Sequence[float]) -> list[int]:
    """The weights as the smallest whole numbers of the same ratios; their sum is the mixture's period.

    A decimal counts as it is written, 0.1 as one tenth. Raises `ValueError` where the period exceeds `MAXIMUM_PERIOD`.
    """
    shares = [Fraction(repr(weight)) for weight in weights]
    total = sum(shares, Fraction(0))
    shares = [share / total for share in shares]
    period = lcm(*(share.denominator for share in shares))
    if period > MAXIMUM_PERIOD:
        raise ValueError(
            f"these weights repeat only after {period:,} samples (at most {MAXIMUM_PERIOD:,}); "
            "round them so that their sum is a rounder number"
        )
    return [int(share * period) for share in shares]


@dataclass(frozen=True)
class Mixture:
    """Which source gives a sample, and how many samples that source gave before."""

    period: int
    turns: tuple[int, ...]
    """Samples of each source in one period."""
    order: "array[int]"
    """The source of each sample of one period."""
    earlier: "array[int]"
    """How often that source occurred earlier in the period."""

    @classmethod
    def of(cls, weights: Sequence[float]) -> "Mixture":
        """The mixture of these positive weights, of any sum. Raises `ValueError` as `whole_weights` does."""
        turns = whole_weights(weights)
        order, earlier, taken = tijdeman(turns), array("L"), [0] * len(turns)
        for source in order:
            earlier.append(taken[source])
            taken[source] += 1
        return cls(sum(turns), tuple(turns), order, earlier)

    def source_of(self, sample: int) -> tuple[int, int]:
        """The source of a sample (from 0), and how many samples that source gave before it."""
        period, place = divmod(sample, self.period)
        source = self.order[place]
        return source, period * self.turns[source] + self.earlier[place]


def tijdeman(turns: Sequence[int]) -> "array[int]":
    """One period of the order in which sources of these whole weights take turns; ties go to the earlier source.

    The i-th turn of a source may come once its share is 1/M ahead of its turns, with M = 2K - 2, and must come before
    it is 1 - 1/M ahead: of the sources that may, the one that must soonest does.
    """
    period, margin = sum(turns), max(2 * len(turns) - 2, 1)
    order = array("L")
    waiting = [(release(0, share, period, margin), source) for source, share in enumerate(turns)]
    heapq.heapify(waiting)
    ready: list[tuple[int, int]] = []
    taken = [0] * len(turns)
    for place in range(period):
        while waiting and waiting[0][0] <= place + 1:
            _, source = heapq.heappop(waiting)
            heapq.heappush(ready, (deadline(taken[source], turns[source], period, margin), source))
        _, source = heapq.heappop(ready)
        order.append(source)
        taken[source] += 1
        heapq.heappush(waiting, (release(taken[source], turns[source], period, margin), source))
    return order


def release(taken: int, share: int, period: int, margin: int) -> int:
    """The first n for which share · n / period - taken >= 1 / margin."""
    return -(-period * (margin * taken + 1) // (margin * share))


def deadline(taken: int, share: int, period: int, margin: int) -> int:
    """The first n for which share · n / period - taken >= 1 - 1 / margin: the turn comes no later than there."""
    return -(-period * (margin * taken + margin - 1) // (margin * share))


__all__ = ["MAXIMUM_PERIOD", "Mixture", "tijdeman", "whole_weights"]
