"""What `pack` promises: it turns clean text into the tokens of a model's tokenizer, as shards with an exact mixture."""

from abc import abstractmethod
from pathlib import Path

from components.base.component import Component, Report
from components.base.ports import Context


class PackReport(Report):
    """Documents and tokens by source, and the share of each in the mixture."""

    documents: dict[str, int]
    tokens: dict[str, int]
    weights: dict[str, float]
    windows: dict[str, int]

    def headline(self) -> str:
        """Tokens and weight of each source."""
        if not self.tokens:
            return "nothing packed"
        parts = (f"{name} {count:,} tokens × {self.weights[name]:.3f}" for name, count in self.tokens.items())
        return "; ".join(parts)


class Packer(Component):
    """Writes token shards in the format of `components.data.token_shards`."""

    @abstractmethod
    def run(self, context: Context, text: Path, model: Path, output: Path) -> PackReport:
        """Takes the tokenizer from the `model` folder. Raises `EmptyCorpus` if a source of the mixture has no text."""
