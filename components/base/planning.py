"""What only some components can do: say what a run takes before it starts, and start from a related training's checkpoints."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from components.base.model_summary import ModelSummary
from components.base.ports import Launcher
from components.base.site import Site

Rows = list[tuple[str, str]]
"""The rows of a plan: a name and its words each."""


class Plannable(ABC):
    """A component that can say what running it takes, given what is known of the model before it and the site."""

    @abstractmethod
    def forecast(self, before: ModelSummary, site: Site) -> Rows:
        """What it takes, by arithmetic."""

    @abstractmethod
    def hours(self, before: ModelSummary, site: Site) -> float | None:
        """How long its ranks compute on that site; None if that cannot be calculated."""

    @abstractmethod
    def profile(self, before: ModelSummary, site: Site, launcher: Launcher, folder: Path) -> Rows:
        """What it takes, measured: some seconds of it on this machine, in an empty folder."""


class WarmStartable(ABC):
    """A component that may start from the checkpoints of another one that differs in a few fields."""

    warm_start_fields: ClassVar[frozenset[str]]
    """Fields in which the two may differ: before the difference shows, they are one computation."""
