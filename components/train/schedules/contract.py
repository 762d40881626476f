"""What a learning-rate schedule promises: a pure function of the step, the same after a restart."""

from abc import abstractmethod
from typing import Protocol

from components.base.fields import Fields


class LearningRates(Protocol):
    """The rates and steps that a schedule works with: a training's own parameters."""

    @property
    def steps(self) -> int:
        """All updates of the training."""

    @property
    def warmup_steps(self) -> int:
        """Updates of the linear warm-up."""

    @property
    def learning_rate(self) -> float:
        """The highest rate."""

    @property
    def minimum_learning_rate(self) -> float:
        """The lowest rate."""


class LearningRateSchedule(Fields):
    """A linear warm-up from the minimum, as in Swallow's training (llm-recipes 7a84c5f); each alternative says what follows."""

    kind: str

    def learning_rate(self, step: int, rates: LearningRates) -> float:
        """The rate of update number `step` (from 0): the minimum at 0, the maximum at `warmup_steps`."""
        reach = rates.learning_rate - rates.minimum_learning_rate
        if step < rates.warmup_steps:
            return rates.minimum_learning_rate + reach * step / rates.warmup_steps
        after, steps = step - rates.warmup_steps, rates.steps - rates.warmup_steps
        return rates.minimum_learning_rate + reach * self.height(min(after, steps), steps)

    @abstractmethod
    def height(self, step: int, steps: int) -> float:
        """How high the rate is at a step of the `steps` after the warm-up: 0 is the minimum, 1 the maximum."""

    def objection(self, steps: int) -> str:  # noqa: ARG002  (for those that have one)
        """Why the schedule does not fit into that many steps after the warm-up; "" if it does."""
        return ""
