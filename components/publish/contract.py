"""What `publish` promises: a model, its scores and the records of every stage in, a release out."""

from abc import abstractmethod
from pathlib import Path

from components.base.component import Component, Report
from components.base.ports import Context


class PublishReport(Report):
    """Where the release is and what it holds."""

    files: int
    bytes: int
    location: str

    def headline(self) -> str:
        """Where the release is, and its size."""
        return f"{self.files} files, {self.bytes / 1e6:.1f} MB at {self.location}"


class Publisher(Component):
    """Writes the release: weights, tokenizer, config, `README.md` (the model card), `lineage.json`."""

    @abstractmethod
    def run(self, context: Context, model: Path, scores: Path, records: Path, output: Path) -> PublishReport:
        """`records` holds one folder for each stage, with its `record.json`."""
