"""What `clean` promises: collected pages in, clean deduplicated documents and a count for every rule out."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from components.base.component import Component, Report
from components.base.ports import Context


class CleanReport(Report):
    """Pages in, documents kept, and how many each rule rejected (in the order in which the rules were asked)."""

    pages: int
    kept: int
    rejected: dict[str, int]
    characters: dict[str, int]
    """Kept characters by language, training and held-out text together."""
    heldout: dict[str, int]
    """Held-out documents by language."""

    def headline(self) -> str:
        """Pages in, kept, and each rule's count."""
        rules = ", ".join(f"{rule} {count:,}" for rule, count in self.rejected.items() if count)
        text = ", ".join(f"{language} {count / 1e6:.2f} M" for language, count in sorted(self.characters.items()))
        return f"{self.pages:,} pages in, {self.kept:,} kept ({text} characters); rejected: {rules or 'none'}"


class Cleaner(Component):
    """Writes `train/<language>/<source>.jsonl.gz`, `heldout/<language>.jsonl.gz` and `counts.json` below `output`.

    A line is a `components.data.documents.Document`.
    """

    distributed: ClassVar[bool] = True

    @abstractmethod
    def run(self, context: Context, sources: Path, output: Path) -> CleanReport:
        """Raises `EmptyCorpus` where nothing is left, naming the rule that took most."""
