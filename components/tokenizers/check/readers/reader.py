"""What the check asks of every tokenizer, whatever kind it is of; and how a library's refusal is noted."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Answer = TypeVar("Answer")
Kind = Literal["text", "byte", "special", "unused"]


@dataclass(frozen=True)
class Piece:
    """One id: its name in the vocabulary, what it is, and what it says (None if that is no whole characters)."""

    name: str
    kind: Kind
    text: str | None


@dataclass
class Reader(ABC):
    """A tokenizer, asked for plain text: no BOS, no EOS, and the spelling of a special token is text."""

    file: str
    family: str
    normaliser: str
    inventory: list[Piece]
    """Ids run from 0 to its length."""
    complete: bool
    """Every text has an encoding, if only by bytes."""
    unknown: int | None
    drops_white_space: bool
    """Words are cut at white space, which no decoder can bring back as it was."""
    escapes_space: bool
    """Spaces are written as U+2581, so that the character itself comes back as a space."""
    prefixes_space: bool
    """A space is put in front of every text."""
    missing_bytes: frozenset[int] = frozenset()
    """Of a byte-level vocabulary: the bytes that have no piece. Text that holds them loses them without a sign."""
    refusals: list[str] = field(default_factory=list)
    """The library's words for each text that it refused to encode or decode; such a text counts as no tokens."""

    @property
    def pieces(self) -> int:
        """How many ids there are."""
        return len(self.inventory)

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""

    @abstractmethod
    def encode_inside(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text as it stands inside a sentence: nothing is put in front, no space is trimmed."""

    @abstractmethod
    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of each row of ids; special tokens say nothing."""

    @abstractmethod
    def normalise(self, texts: Sequence[str]) -> list[str]:
        """What the normaliser makes of each text, a space for U+2581."""

    @abstractmethod
    def exact(self) -> list[bytes]:
        """Everything that is stated of each id, to compare with another reader of the same class."""

    @abstractmethod
    def rules(self) -> str:
        """All that decides a split besides the pieces and merges."""

    def merges(self) -> list[str]:
        """The merges in their order, where the kind lists them apart from its pieces."""
        return []


def attempt(action: Callable[[], Answer], refusals: list[str], otherwise: Answer) -> Answer:
    """The library's answer; where it refuses, `otherwise`, and its words among the refusals."""
    try:
        return action()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  (strangers' tokenizers raise anything; a panic in Rust is no Exception)
        refusals.append(brief(error))
        return otherwise


def brief(error: BaseException) -> str:
    """An error's words on one line, at most 200 characters of them."""
    return " ".join(str(error).split())[:200] or type(error).__name__
