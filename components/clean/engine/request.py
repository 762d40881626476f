"""What the engine tells its ranks, and where they leave their results: files in the scratch folder."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from components.ranks.request import RankRequest


class FilterRequest(RankRequest):
    """A cleaning as its ranks are told it."""

    worker: ClassVar[str] = "components.rank"  # it knows every cleaner

    cleaner: Mapping[str, Any]
    """The cleaner's parameters, `kind` among them: every rank builds it again from the registry."""
    sources: Path
    """As the stage was given it, so that messages name it the same way; ranks work in the same folder."""
    workers: int
    """Processes of each rank."""

    @property
    def filtered(self) -> Path:
        """The folder with two files for each filtered unit."""
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
        """What was found out about a unit's pages; a unit is filtered when this file is there."""
        return self.filtered / f"{unit:08}.jsonl"

    def texts(self, unit: int) -> Path:
        """The texts of a unit's kept pages, one after the other."""
        return self.filtered / f"{unit:08}.texts"

    def kept(self) -> str:
        """How many units are filtered."""
        filtered = len(list(self.filtered.glob("[0-9]*.jsonl")))
        return f"{filtered:,} parts of the pages are filtered" if filtered else ""

    def is_done(self) -> bool:
        """Whether the output is whole."""
        return self.result.exists()

    def forget(self) -> None:
        """Removes the verdicts and results of another cleaning."""
        for folder in (self.filtered, self.merging, self.result):
            shutil.rmtree(folder, ignore_errors=True)
