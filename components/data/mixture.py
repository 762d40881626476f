"""The order in which sources of given weights take turns: an exact mixture, looked up in O(1).

After any number of samples every source is within one sample of its share, and over each period, which is as many samples
as the weights' common denominator, the mixture is exact. Tijdeman's solution of the chairman assignment problem (Discrete
Mathematics 32, 1980) promises that: within 1 - 1/(2K - 2) for K sources. So any window is less than two samples off, and at
most one if there are two sources. If some 1,000 samples in a row would be more than one off, an order is searched for in
which no such window is (`components.data.mixture_search`). What the order in use really does is measured and stated.
"""

import heapq
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

MAXIMUM_PERIOD = 1_000_000
LEAST_CYCLE = 10_000
"""Samples after which a searched order may repeat at the earliest: in a short one, hardly any choice is left."""


def whole_weights(weights: Sequence[float]) -> list[int]:
    """The weights as the smallest whole numbers in the same ratios; their sum is the mixture's period.

    A decimal counts as it is written, 0.1 as one tenth. Raises `ValueError` if the period exceeds `MAXIMUM_PERIOD`.
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

    order: "array[int]"
    """The source of each sample of one cycle, which repeats forever."""
    earlier: "array[int]"
    """How often that source occurred earlier in the cycle."""
    places: tuple["array[int]", ...]
    """For each source, the samples of one cycle that it gives, in order."""

    @classmethod
    def of(cls, weights: Sequence[float]) -> "Mixture":
        """The mixture of these positive weights, of any sum. Raises `ValueError` as `whole_weights` does."""
        turns = whole_weights(weights)
        return cls.in_order(mixture_order(turns), len(turns))

    @classmethod
    def in_order(cls, order: "array[int]", sources: int) -> "Mixture":
        """The mixture of a given cycle."""
        earlier, places = array("L"), tuple(array("L") for _ in range(sources))
        for place, source in enumerate(order):
            earlier.append(len(places[source]))
            places[source].append(place)
        return cls(order, earlier, places)

    def source_of(self, sample: int) -> tuple[int, int]:
        """The source of a sample (from 0), and how many samples that source gave before it."""
        cycle, place = divmod(sample, len(self.order))
        source = self.order[place]
        return source, cycle * len(self.places[source]) + self.earlier[place]

    def sample_of(self, source: int, turn: int) -> int:
        """The sample that a source gives as its `turn`-th (from 0): the inverse of `source_of`."""
        cycle, place = divmod(turn, len(self.places[source]))
        return cycle * len(self.order) + self.places[source][place]


def mixture_order(turns: Sequence[int]) -> "array[int]":
    """One cycle of the order for whole weights: Tijdeman's, or a steadier one of one or more periods if that is found."""
    from components.data.mixture_search import WINDOW, largest_deviation, steady_order  # numpy: parameters must import fast

    order = tijdeman(turns)
    if largest_deviation(order, WINDOW) <= 1:
        return order
    periods = -(-LEAST_CYCLE // sum(turns))
    return steady_order([share * periods for share in turns]) or order


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


__all__ = ["MAXIMUM_PERIOD", "Mixture", "mixture_order", "tijdeman", "whole_weights"]
