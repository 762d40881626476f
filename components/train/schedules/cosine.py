"""The cosine schedule, from the maximum to the minimum: the one that Swallow was trained with."""

from math import cos, pi
from typing import Literal

from components.train.schedules.contract import LearningRateSchedule


class CosineSchedule(LearningRateSchedule):
    """Half a cosine over all steps after the warm-up (arXiv 1608.03983, without restarts)."""

    kind: Literal["cosine"]

    def height(self, step: int, steps: int) -> float:
        """As the contract says."""
        return 0.5 * (1.0 + cos(pi * (step / steps)))
