"""What `collect` promises: it turns source URIs into a pinned manifest, the pages as WARC, and the base model's files."""

from abc import abstractmethod
from pathlib import Path

from components.base.component import Component, Report
from components.base.ports import Context


class CollectReport(Report):
    """Counts over every source of text, and the names of the base model's files."""

    sources: int
    pages: int
    bytes: int
    languages: list[str]
    model_files: list[str]

    def headline(self) -> str:
        """Sources, pages and bytes."""
        return (
            f"{self.pages:,} pages from {self.sources} sources ({', '.join(self.languages)}), "
            f"{self.bytes / 1e6:.1f} MB; base model: {', '.join(self.model_files)}"
        )


class Collector(Component):
    """Writes `manifest.json`, `pages/<source>.warc.gz` and `model/` (the base model's files) below `output`."""

    @abstractmethod
    def run(self, context: Context, output: Path) -> CollectReport:
        """Raises `SourceMissing` if a source cannot be had, naming the source and the next step."""
