"""What `clean` promises: it turns collected pages into clean deduplicated documents, and counts what every rule rejects.

A cleaner is a strategy: it says what becomes of one page. The engine reads the pages, in as many ranks and processes as the
site has, removes duplicates, holds documents out, counts and writes.
"""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from components.base.component import Component
from components.base.ports import Context
from components.clean.page import Page, Verdict
from components.clean.report import CleanReport


class Cleaner(Component):
    """Writes `train/<language>/<source>.jsonl.gz`, `heldout/<language>.jsonl.gz` and `counts.json` below `output`.

    A line is a `components.data.documents.Document`.
    """

    distributed: ClassVar[bool] = True

    heldout_fraction: float = Field(ge=0, lt=1)
    """The share of documents that are kept from training, to measure on; they are chosen by the hash of their id."""

    @abstractmethod
    def rule_names(self) -> list[str]:
        """The names of what can reject a page, in the order in which they are asked.

        "exact_duplicate" and "near_duplicate" come last, if the verdicts have digests and bands.
        """

    @abstractmethod
    def filter(self, page: Page) -> Verdict:
        """What becomes of one page; the same for the same page, in whichever process."""

    def run(self, context: Context, sources: Path, output: Path) -> CleanReport:
        """Raises `EmptyCorpus` if nothing is left, naming the rule that took most."""
        from components.clean.engine.run import clean_corpus  # numpy

        return clean_corpus(context, self, sources, output)
