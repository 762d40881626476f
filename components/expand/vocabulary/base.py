"""What a family of vocabularies offers, so that it can be enlarged."""

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any, Protocol

from components.expand.vocabulary.candidates import Candidates
from components.tokenizers.load import tokenizer_file


class Vocabulary(Protocol):
    """A base model's pieces, and how more are appended to them.

    New pieces take the ids from `pieces` on. A text without a Japanese character is split afterwards as it was before.
    """

    @property
    def pieces(self) -> int:
        """How many ids the base has, special tokens included."""
        ...

    def characters(self) -> Set[str]:
        """The characters that occur in the base's pieces."""
        ...

    def choose(self, candidates: Candidates, room: int) -> list[str]:
        """At most `room` new pieces in the order of their ids, each of them reachable from text."""
        ...

    def subpieces(self, added: Sequence[str]) -> list[list[int]]:
        """The base ids into which the text of each new piece splits inside a sentence."""
        ...

    def text_of(self, piece: str) -> str | None:
        """The text of a piece; None if it does not consist of whole characters."""
        ...

    def write(self, model: Path, output: Path, added: Sequence[str]) -> None:
        """Writes every tokenizer file of `output`; `model` is the base's folder."""
        ...

    def facts(self, added: Sequence[str]) -> dict[str, Any]:
        """What an auditor wants to know of this family's union, as JSON values."""
        ...


def vocabulary_of(model: Path) -> Vocabulary:
    """The vocabulary of a model folder. Raises `InputError` if it has none, or none of a family we know."""
    if tokenizer_file(model).name == "tokenizer.model":
        from components.expand.vocabulary.sentencepiece import SentencePieceVocabulary

        return SentencePieceVocabulary.of(model)
    from components.expand.vocabulary.byte_level import ByteLevelVocabulary

    return ByteLevelVocabulary.of(model)
