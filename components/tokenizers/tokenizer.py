"""A model folder in, its tokenizer out, whichever family it is of.

A folder with `tokenizer.model` is answered by SentencePiece, which is several times faster than any other; a folder with
`tokenizer.json` alone by the `tokenizers` library. Both leave out BOS and EOS, and text that spells a special token is text.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tokenizer(ABC):
    """Text in, piece ids out, and back."""

    pieces: int
    """How many ids there are, special tokens included: ids run from 0 to `pieces - 1`."""
    bos: int | None
    eos: int | None

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The text's ids, with the dummy prefix that the model asks for and without BOS or EOS."""

    @abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, on one thread."""

    def encode_documents(self, texts: Sequence[str]) -> "list[NDArray[np.int32]]":
        """The ids of each text as a document: `frame`d, on one thread; the fast path of a corpus."""
        import numpy as np

        return [np.asarray(frame(ids, self.bos, self.eos), dtype=np.int32) for ids in self.encode_batch(texts)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids; special tokens say nothing."""
        return self.decode_batch([ids])[0]

    @abstractmethod
    def decode_batch(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """`decode` of each row, on one thread."""


def frame(ids: Sequence[int], bos: int | None, eos: int | None) -> list[int]:
    """A document: BOS and EOS around the ids of its text, as far as there are such."""
    before, behind = ([] if piece is None else [piece] for piece in (bos, eos))
    return [*before, *ids, *behind]


def tokenizer_file(folder: Path) -> Path:
    """The one file that defines the folder's tokenizer. Raises `InputError` where there is none."""
    for name in ("tokenizer.model", "tokenizer.json"):
        if (folder / name).exists():
            return folder / name
    raise InputError(f"{folder} holds no tokenizer: neither tokenizer.model nor tokenizer.json. Name a model folder that does.")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder. Raises `InputError` where there is none, or none of a family we know."""
    if tokenizer_file(folder).name == "tokenizer.model":
        from components.tokenizers.sentencepiece import read_proto, tokenizer_of

        return tokenizer_of(read_proto(folder))
    from components.tokenizers.byte_level import read_byte_level

    return read_byte_level(folder)
