"""What `expand` promises: it gives a base model a larger vocabulary, from clean text, and initialises the new rows."""

from abc import abstractmethod
from pathlib import Path

from components.base.component import Component, Report
from components.base.ports import Context


class ExpandReport(Report):
    """Vocabulary sizes, characters by script, and tokens per character on held-out text by language; before and after."""

    base_pieces: int
    added_pieces: int
    pieces: int
    characters_before: dict[str, int]
    characters_after: dict[str, int]
    tokens_per_character_before: dict[str, float]
    tokens_per_character_after: dict[str, float]

    def headline(self) -> str:
        """Pieces added, tokens per character before and after; that nothing changed, if nothing did."""
        before, after = self.tokens_per_character_before, self.tokens_per_character_after
        if not self.added_pieces:
            kept = ", ".join(f"{lang} {before[lang]:.3f}" for lang in sorted(before))
            return f"vocabulary kept: {self.pieces:,} pieces, nothing changed; tokens per character {kept}"
        change = ", ".join(f"{lang} {before[lang]:.3f} → {after[lang]:.3f}" for lang in sorted(before))
        return f"{self.base_pieces:,} + {self.added_pieces:,} = {self.pieces:,} pieces; tokens per character {change}"


class Expander(Component):
    """Writes a model folder (`components.models.folder`) with its tokenizer and, if it adds pieces, `expansion.json`."""

    @abstractmethod
    def run(self, context: Context, model: Path, text: Path, output: Path) -> ExpandReport:
        """Raises `TokenizerMismatch` if the model's rows are not its tokenizer's pieces; `EmptyCorpus` if text is missing."""
