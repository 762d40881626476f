"""Smooths the loss of a training and finds its spikes; the same losses give the same result, after a resume too."""

from collections import deque
from dataclasses import dataclass
from statistics import median

from components.data.batches import Skipped
from components.train.metrics import Line

SMOOTHING = 0.98
"""The factor of the exponential moving average, which is corrected for its start at 0: about the last 50 steps count."""
NEAR = 16
"""A loss is compared with the median of this many losses before it: that follows a falling curve and ignores single spikes."""
WINDOW = 128
"""How far a loss usually stands above that median is learnt from this many losses before it."""
FEWEST = 32
"""With fewer losses than this, nothing is called a spike."""
THRESHOLD = 6.0
"""A spike stands more than this many robust standard deviations above what is usual."""
TO_DEVIATION = 1.4826
"""The median distance from the median, times this, is the standard deviation of a normal distribution."""
FLOOR = 0.005
"""The deviation counts as at least this share of the loss, so that the noise of losses that hardly vary is not a spike."""


@dataclass(frozen=True)
class LossObservation:
    """How one loss compares with the losses before it."""

    smoothed: float
    """In nats, as the losses are."""
    deviations: float | None
    """How far the loss stands above what is usual, in robust deviations; None if too few losses came before."""

    @property
    def spike(self) -> bool:
        """Whether the loss is a spike."""
        return self.deviations is not None and self.deviations > THRESHOLD


class LossWatch:
    """Sees every loss of a run, in order."""

    def __init__(self, global_batch_size: int, skipped: Skipped) -> None:
        self.global_batch_size, self.skipped = global_batch_size, skipped
        self.near: deque[float] = deque(maxlen=NEAR)
        self.rises: deque[float] = deque(maxlen=WINDOW)
        """Each loss minus the median of those shortly before it."""
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
        """How many deviations a rise stands above the usual one; a deviation is at least `least`."""
        if len(self.rises) < FEWEST:
            return None
        usual = median(self.rises)
        spread = max(TO_DEVIATION * median(abs(rise - usual) for rise in self.rises), least)
        return (rise - usual) / spread if spread else 0.0

    def judge(self, line: Line) -> str | None:
        """Adds `smoothed_loss` to a step's line. If the loss is a spike, adds `spike` and returns what to say of it."""
        seen = self.see(line["loss"])
        line["smoothed_loss"] = seen.smoothed
        if not seen.spike:
            return None
        line["spike"] = True
        return self.words(line, seen)

    def words(self, line: Line, seen: LossObservation) -> str:
        """Says where a spike is, which text it comes from, and how to leave that batch out."""
        batch, step = line["batch"], line["step"]
        first = batch * self.global_batch_size
        return (
            f"spike: the loss of step {step} is {line['loss']:.3f}, {seen.deviations:.1f} robust deviations above what is "
            f"usual (gradient norm {line['gradient_norm']:.2f}). Its text is global batch {batch}, samples {first} to "
            f"{first + self.global_batch_size - 1}: `martlet batch RUN --step {step}` shows it. To train without it, set "
            f"skip_batches: {with_batch(self.skipped, batch)}"
        )


def with_batch(skipped: Skipped, batch: int) -> list[list[int]]:
    """The ranges with one batch added; neighbouring ranges become one."""
    merged: list[list[int]] = []
    for first, last in sorted([*skipped, (batch, batch)]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return merged
