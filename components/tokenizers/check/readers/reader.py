"""The port through which the check asks tokenizers of every kind; it also notes what a library refuses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Answer = TypeVar("Answer")
Kind = Literal["text", "byte", "special", "unused"]


@dataclass(frozen=True)
class Piece:
    """One id: its name in the vocabulary, its kind, and its text (None unless that is whole characters)."""

    name: str
    kind: Kind
    text: str | None


@dataclass
class Reader(ABC):
    """A tokenizer that is asked for plain text: no BOS, no EOS, and the spelling of a special token is text."""

    file: str
    family: str
    normaliser: str
    inventory: list[Piece]
    """One entry for each id, from 0 on."""
    complete: bool
    """Whether every text has an encoding, if only by bytes."""
    unknown: int | None
    drops_white_space: bool
    """Whether words are cut at white space, which no decoder can bring back as it was."""
    escapes_space: bool
    """Whether spaces are written as U+2581, so that the character itself comes back as a space."""
    prefixes_space: bool
    """Whether a space is put in front of every text."""
    missing_bytes: frozenset[int] = frozenset()
    """The bytes that have no piece in a byte-level vocabulary. Text that holds them loses them silently."""
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
        """The text of each row of ids; special tokens are left out."""

    @abstractmethod
    def normalise(self, texts: Sequence[str]) -> list[str]:
        """What the normaliser makes of each text, with spaces in place of U+2581."""

    @abstractmethod
    def exact(self) -> list[bytes]:
        """Everything that the file states of each id, to be compared with another reader of the same class."""

    @abstractmethod
    def rules(self) -> str:
        """Everything besides pieces and merges that decides how text is split."""

    def merges(self) -> list[str]:
        """The merges in their order, if this kind lists them apart from its pieces."""
        return []


def attempt(action: Callable[[], Answer], refusals: list[str], otherwise: Answer) -> Answer:
    """The library's answer; if it refuses, `otherwise`, and its words are added to the refusals."""
    try:
        return action()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  (tokenizers raise anything; a panic in Rust is not an Exception)
        refusals.append(brief(error))
        return otherwise


def brief(error: BaseException) -> str:
    """At most 200 characters of an error's words, on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
