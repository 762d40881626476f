"""What a learning-rate schedule promises: a pure function of the step, the same after a restart."""

from abc import abstractmethod
from typing import Protocol

from components.base.fields import Fields


class LearningRates(Protocol):
    """What a schedule moves between; a training's own parameters."""

    @property
    def steps(self) -> int:
        """Updates in all."""

    @property
    def warmup_steps(self) -> int:
        """Updates of the linear warm-up."""

    @property
    def learning_rate(self) -> float:
        """The highest."""

    @property
    def minimum_learning_rate(self) -> float:
        """The lowest."""


class LearningRateSchedule(Fields):
    """A linear warm-up from the minimum, as in Swallow's training (llm-recipes 7a84c5f); what follows is the alternative's."""

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
        """The part of the way from the minimum to the maximum, 0 to 1, at a step of the `steps` behind the warm-up."""

    def objection(self, steps: int) -> str:  # noqa: ARG002  (for those that have one)
        """Why the schedule does not fit into so many steps behind the warm-up; "" if it does."""
        return ""
