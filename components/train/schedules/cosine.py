"""A step in, its learning rate out: linear warm-up from the minimum, then a cosine back to it."""

from dataclasses import dataclass
from math import cos, pi


@dataclass(frozen=True)
class Schedule:
    """Learning rates by step, as in Swallow's training (llm-recipes 7a84c5f): the warm-up starts at the minimum."""

    steps: int
    warmup_steps: int
    learning_rate: float
    minimum_learning_rate: float

    def at(self, step: int) -> float:
        """The rate of update number `step` (from 0): minimum at 0, maximum at `warmup_steps`, minimum at `steps`."""
        reach = self.learning_rate - self.minimum_learning_rate
        if step < self.warmup_steps:
            return self.minimum_learning_rate + reach * step / self.warmup_steps
        progress = min((step - self.warmup_steps) / (self.steps - self.warmup_steps), 1.0)
        return self.minimum_learning_rate + reach * 0.5 * (1.0 + cos(pi * progress))
