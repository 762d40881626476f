"""Searches for an order of the sources in which the mixture is even in every 1,000 samples in a row.

Tijdeman's order keeps every prefix within one sample of the weights, and so a window only within two: with the nine sources
of Swallow-MS some 1,000 samples are 1.70 off, with the ten of Swallow-MX 1.50. Except for a few weights, no order is within
one over windows of *every* length (Fraenkel's conjecture), so one length is chosen. Whether there is an order for given
weights is not known: it is searched for, and what is found is measured. For both recipes one is found: 0.98 and 0.9995.

A source's turns are jobs of one place each. Its i-th turn may come neither so early nor so late that the prefix, or the
window that ends there, would be more than one off. Of the turns that may come, the one that is furthest behind does, unless
those that are due soon leave no room for it. The rules look back one window, so the search continues for some cycles until
one can follow itself, which makes it repeatable.
"""

from array import array
from collections import deque
from collections.abc import Sequence

import numpy as np

WINDOW = 1_000
PREFIX = 1_000
"""Prefixes stay within 1 - 1/1000."""
LOOKAHEAD = 40
"""How many places ahead the search makes sure that every turn that is due finds room."""
LEADS = (1.1, 0.5, 0.8, 1.4)
"""The values that are tried: the source is furthest behind whose share was the first to be so far ahead of its turns."""
CYCLES = 4
"""How many cycles are tried, until one can follow itself; most can from the second on."""


def steady_order(turns: Sequence[int]) -> "array[int] | None":
    """A cycle in which each source has so many turns, and any `WINDOW` samples or first samples are within one of its share.

    None if the search finds none. It takes some 10 µs for each sample of each cycle that it tries, most often two or three.
    """
    for lead in LEADS:
        search = _Search(turns, lead)
        for _ in range(CYCLES):
            if not search.extend(sum(turns)):
                break
            order = search.order[-sum(turns) :]
            if largest_deviation(order, WINDOW) <= 1 and largest_deviation(order) < 1:
                return order
    return None


def largest_deviation(order: Sequence[int], window: int | None = None) -> float:
    """How many samples a source is off its share at most, over any `window` samples of a cycle that repeats forever.

    Without a `window`: over any first samples, however many.
    """
    sources, length, worst = np.asarray(order), len(order), 0
    for source in range(int(sources.max()) + 1):
        turns = sources == source
        off = np.cumsum(turns) * length - np.arange(1, length + 1) * int(turns.sum())
        change = off if window is None else np.roll(off, -(window % length)) - off
        worst = max(worst, int(np.abs(change).max()))
    return worst / length


class _Search:
    """An order that grows place by place."""

    def __init__(self, turns: Sequence[int], lead: float) -> None:
        self.sources = [_Source(share, sum(turns), lead) for share in turns]
        self.order = array("L")

    def extend(self, places: int) -> bool:
        """Fills so many more places; False if no source may take a place."""
        for place in range(len(self.order), len(self.order) + places):
            found = self._choose(place)
            if found is None:
                return False
            self.sources[found].take(place)
            self.order.append(found)
        return True

    def _choose(self, place: int) -> int | None:
        """The source to take a place."""
        allowed = self._with_room(place)
        ready = [(self.sources[number].ideal, number) for number in allowed if self.sources[number].release <= place]
        return min(ready)[1] if ready else None

    def _with_room(self, place: int) -> Sequence[int]:
        """The sources that may take a place as far as what is due in the next places is concerned."""
        due = sorted((last, number) for number, each in enumerate(self.sources) for last in each.due_until(place + LOOKAHEAD))
        for count, (last, _) in enumerate(due, 1):
            room = last - place + 1
            if count > room:
                return ()
            if count == room:  # the places up to `last` are all taken by these
                return sorted({number for _, number in due[:count]})
        return range(len(self.sources))


class _Source:
    """The turns of one source: where they were taken, and between which places the next ones may come."""

    def __init__(self, share: int, period: int, lead: float) -> None:
        self.share, self.period, self.lead = share, period, lead
        self.fewest, self.most = WINDOW * share // period, -(-WINDOW * share // period)
        self.taken: list[int] = []
        self.due: deque[int] = deque()
        self._next()

    def take(self, place: int) -> None:
        """Notes that the next turn was taken at a place."""
        self.taken.append(place)
        if self.due:
            self.due.popleft()
        self._next()

    def due_until(self, place: int) -> list[int]:
        """The last places of the turns that must be taken by then, in order."""
        while not self.due or self.due[-1] <= place:
            self.due.append(self._deadline(len(self.taken) + len(self.due)))
        return [last for last in self.due if last <= place]

    def _next(self) -> None:
        """`release`: the first place of the next turn; `ideal`: where it is `lead` behind."""
        turn = len(self.taken)
        self.ideal = (turn + self.lead) * self.period / self.share
        self.release = -(-self.period * (turn * PREFIX + 1) // (self.share * PREFIX)) - 1
        if turn >= self.most:
            self.release = max(self.release, self.taken[turn - self.most] + WINDOW)

    def _deadline(self, turn: int) -> int:
        """The last place of a turn."""
        last = self.period * ((turn + 1) * PREFIX - 1) // (self.share * PREFIX)
        earlier = turn - self.fewest
        return min(last, self.taken[earlier] + WINDOW) if 0 <= earlier < len(self.taken) else last
