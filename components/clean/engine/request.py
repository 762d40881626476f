"""What the cleaner hands to its ranks, and where they leave what they did: files in the scratch folder.

Nothing in a call says how many ranks there are or what is judged already: the same file serves every start.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from components.clean.passthrough import KeepPages
from components.clean.swallow import SwallowCleaner
from components.ranks.outcome import RanksCall

AnyCleaner = Annotated[SwallowCleaner | KeepPages, Field(discriminator="kind")]


class Call(RanksCall):
    """A cleaning as its ranks are told it, as `call.json`."""

    cleaner: AnyCleaner
    sources: Path
    """As the stage was told it, so that messages name it alike; ranks work in the same folder."""
    workers: int
    """Processes of each rank."""

    @property
    def judged(self) -> Path:
        """The folder with two files a judged unit."""
        return self.scratch / "judged"

    @property
    def result(self) -> Path:
        """The folder with the finished output and report; it is whole or absent."""
        return self.scratch / "result"

    @property
    def gathering(self) -> Path:
        """The result while it is written: each of its files is whole or absent."""
        return self.scratch / "gathering"

    def rows(self, unit: int) -> Path:
        """What was found out of a unit's pages; a unit is judged when this file is there."""
        return self.judged / f"{unit:08}.jsonl"

    def texts(self, unit: int) -> Path:
        """The texts of a unit's kept pages, one behind the other."""
        return self.judged / f"{unit:08}.texts"
