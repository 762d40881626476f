"""What the cleaner hands to its ranks, and where they leave what they did: files in the scratch folder.

Nothing in a call says how many ranks there are or what is filtered already: the same file serves every start.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from components.clean.passthrough import PassthroughCleaner
from components.clean.swallow import SwallowCleaner
from components.ranks.outcome import RanksCall

AnyCleaner = Annotated[SwallowCleaner | PassthroughCleaner, Field(discriminator="kind")]


class FilterRequest(RanksCall):
    """A cleaning as its ranks are told it, as `call.json`."""

    cleaner: AnyCleaner
    sources: Path
    """As the stage was told it, so that messages name it alike; ranks work in the same folder."""
    workers: int
    """Processes of each rank."""

    @property
    def filtered(self) -> Path:
        """The folder with two files a filtered unit."""
        return self.scratch / "filtered"

    @property
    def result(self) -> Path:
        """The folder with the finished output and report; it is whole or absent."""
        return self.scratch / "result"

    @property
    def merging(self) -> Path:
        """The result while it is written: each of its files is whole or absent."""
        return self.scratch / "merging"

    def rows(self, unit: int) -> Path:
        """What was found out of a unit's pages; a unit is filtered when this file is there."""
        return self.filtered / f"{unit:08}.jsonl"

    def texts(self, unit: int) -> Path:
        """The texts of a unit's kept pages, one behind the other."""
        return self.filtered / f"{unit:08}.texts"
