"""The warm-up, stable, decay schedule: the maximum for most of the training, then down to the minimum in the last steps."""

from math import sqrt
from typing import Literal

from pydantic import Field

from components.train.schedules.contract import LearningRateSchedule


class WarmupStableDecaySchedule(LearningRateSchedule):
    """WSD (MiniCPM, arXiv 2404.06395); the shape `one_minus_sqrt` is that of arXiv 2405.18392, section 4."""

    kind: Literal["wsd"]
    decay_steps: int = Field(gt=0)
    """How many of the last steps lower the rate; before them it is `learning_rate`."""
    shape: Literal["linear", "one_minus_sqrt"]

    def height(self, step: int, steps: int) -> float:
        """As the contract says."""
        decayed = max(step - (steps - self.decay_steps), 0) / self.decay_steps
        return 1.0 - (decayed if self.shape == "linear" else sqrt(decayed))

    def objection(self, steps: int) -> str:
        """As the contract says."""
        if self.decay_steps <= steps:
            return ""
        return f"schedule.decay_steps {self.decay_steps:,} exceeds the {steps:,} steps after the warm-up"
