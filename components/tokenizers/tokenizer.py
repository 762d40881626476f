"""The port that tokenizers of every family implement: text to piece ids, and back.

BOS and EOS are left out unless a document is asked for, and text that spells a special token is text.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tokenizer(ABC):
    """Turns text into piece ids, and back."""

    pieces: int
    """How many ids there are, special tokens included: ids run from 0 to `pieces - 1`."""
    bos: int | None
    eos: int | None

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The text's ids, with the dummy prefix if the model asks for one, and without BOS or EOS."""

    @abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, on one thread."""

    def encode_documents(self, texts: Sequence[str]) -> "list[NDArray[np.int32]]":
        """The ids of each text as a document, with special tokens, on one thread; the fast path for a corpus."""
        import numpy as np

        return [np.asarray(with_special_tokens(ids, self.bos, self.eos), dtype=np.int32) for ids in self.encode_batch(texts)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids; special tokens are left out."""
        return self.decode_batch([ids])[0]

    @abstractmethod
    def decode_batch(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """`decode` of each row, on one thread."""


def with_special_tokens(ids: Sequence[int], bos: int | None, eos: int | None) -> list[int]:
    """The ids of a document: BOS before the ids of its text and EOS after them, if the tokenizer has them."""
    before, behind = ([] if piece is None else [piece] for piece in (bos, eos))
    return [*before, *ids, *behind]
