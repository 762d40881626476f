"""Collected pages in, their text out, whatever it is: for sources that are clean already."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from components.base.ports import Context
from components.clean.contract import Cleaner, CleanReport


class PassthroughCleaner(Cleaner):
    """Keeps every page that has text and whose source claims one of `languages`; nothing is compared or corrected."""

    kind: Literal["passthrough"]
    version: Literal[1]
    languages: list[str] = Field(min_length=1)
    heldout_fraction: float = Field(ge=0, lt=1)
    skip_elements: list[str]

    def rule_names(self) -> list[str]:
        """What can reject a page, in the order in which it is asked."""
        return ["no_text_response", "no_text", "languages"]

    def run(self, context: Context, sources: Path, output: Path) -> CleanReport:
        """Raises `EmptyCorpus` where nothing is left, naming the rule that took most."""
        from components.clean.engine.run import clean_corpus  # it knows every cleaner

        return clean_corpus(context, self, sources, output)
