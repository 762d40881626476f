"""What a component is: parameters in, a report out.

A component's fields are its identity: whatever changes the result is a field, has no default, and is spelled in
`params.yaml`. The context (`components.base.ports`) carries only where it runs.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from components.base.fields import Fields
from components.base.model_summary import ModelSummary


class Component(Fields):
    """A component is its parameters plus one verb, `run(context, **named paths) -> Report`.

    `kind` chooses the alternative; raising `version` makes DVC run the stage again after a change in code that
    changes results.
    """

    kind: str  # every component makes a literal of both
    version: int

    distributed: ClassVar[bool] = False
    """Whether it starts ranks that do its work, on as many nodes as the site has; any other component runs as a whole."""

    is_passthrough: ClassVar[bool] = False
    """Whether it only hands on what it was given, which is not worth a job."""

    rank_variables: ClassVar[Mapping[str, str]] = {}
    """What its ranks need in their environment, on any site."""

    def preflight(self) -> list[str]:
        """What would stop this component, as far as it can be known before anything runs; most components know nothing."""
        return []

    def model_summary(self, before: ModelSummary) -> ModelSummary:
        """What is known of the model that this stage leaves, from what is known of the model before it; most change nothing."""
        return before


class Report(BaseModel, ABC):
    """The facts a stage states about its output: typed numbers, equal for equal inputs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def headline(self) -> str:
        """The one line of main numbers that the run's summary prints for this stage."""
