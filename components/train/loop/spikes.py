"""Losses in, one after the other; a smoothed loss and the spikes out. The same losses give the same, after a resume too."""

from collections import deque
from dataclasses import dataclass
from statistics import median

from components.data.batches import Skipped
from components.train.metrics import Line

SMOOTHING = 0.98
"""Of the exponential moving average, corrected for its start from nothing: about the last 50 steps count."""
NEAR = 16
"""A loss is compared with the median of so many before it, which follows the curve as it falls and bears with spikes."""
WINDOW = 128
"""How far it may stand above that is learnt from so many losses before it."""
FEWEST = 32
"""With fewer than these, nothing is called a spike."""
THRESHOLD = 6.0
"""Robust standard deviations above what is usual."""
TO_DEVIATION = 1.4826
"""The median distance from the median, times this, is the standard deviation of a normal distribution."""
FLOOR = 0.005
"""The deviation counts as at least this share of the loss: losses that hardly vary have no spikes in their noise."""


@dataclass(frozen=True)
class LossObservation:
    """What one loss looks like after those before it."""

    smoothed: float
    """In nats, as the losses are."""
    deviations: float | None
    """How far the loss stands above what is usual, in robust deviations; None: too few losses came before."""

    @property
    def spike(self) -> bool:
        """Whether it stands out."""
        return self.deviations is not None and self.deviations > THRESHOLD


class LossWatch:
    """Sees every loss of a run, in order."""

    def __init__(self, global_batch_size: int, skipped: Skipped) -> None:
        self.global_batch_size, self.skipped = global_batch_size, skipped
        self.near: deque[float] = deque(maxlen=NEAR)
        self.rises: deque[float] = deque(maxlen=WINDOW)
        """Each loss less the median of those near before it."""
        self.average, self.missing = 0.0, 1.0

    def see(self, loss: float) -> LossObservation:
        """Judges a loss by those before it, and remembers it."""
        deviations = None
        if self.near:
            level = median(self.near)
            deviations = self.deviations(loss - level, FLOOR * abs(level))
            self.rises.append(loss - level)
        self.near.append(loss)
        self.average = SMOOTHING * self.average + (1 - SMOOTHING) * loss
        self.missing *= SMOOTHING
        return LossObservation(self.average / (1 - self.missing), deviations)

    def deviations(self, rise: float, least: float) -> float | None:
        """How far a rise stands above the usual one; a deviation is at least `least`."""
        if len(self.rises) < FEWEST:
            return None
        usual = median(self.rises)
        spread = max(TO_DEVIATION * median(abs(rise - usual) for rise in self.rises), least)
        return (rise - usual) / spread if spread else 0.0

    def judge(self, line: Line) -> str | None:
        """Adds `smoothed_loss` to a step's line, and `spike` where it is one: then returns what to say of it."""
        seen = self.see(line["loss"])
        line["smoothed_loss"] = seen.smoothed
        if not seen.spike:
            return None
        line["spike"] = True
        return self.words(line, seen)

    def words(self, line: Line, seen: LossObservation) -> str:
        """Where a spike is, what its text is, and the parameter that leaves its batch out."""
        batch, step = line["batch"], line["step"]
        first = batch * self.global_batch_size
        return (
            f"spike: the loss of step {step} is {line['loss']:.3f}, {seen.deviations:.1f} robust deviations above what is "
            f"usual (gradient norm {line['gradient_norm']:.2f}). Its text is global batch {batch}, samples {first} to "
            f"{first + self.global_batch_size - 1}: `martlet batch RUN --step {step}` shows it. To train without it, set "
            f"skip_batches: {with_batch(self.skipped, batch)}"
        )


def with_batch(skipped: Skipped, batch: int) -> list[list[int]]:
    """The ranges with one batch more; neighbours become one range."""
    merged: list[list[int]] = []
    for first, last in sorted([*skipped, (batch, batch)]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return merged
