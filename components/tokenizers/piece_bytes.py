"""A model folder's tokenizer in, how many bytes of text each of its pieces stands for out: text can be counted in its tokens.

Added up over the tokens of a document they are the bytes of its text in UTF-8, but for what the tokenizer changes before it
splits it: SentencePiece puts a space in front of a text (one byte more a document, where the model asks for it) and takes a
U+2581 for a space; a byte-level tokenizer's text may be normalised to NFC, and loses the bytes that it has no piece for.
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.tokenizers.byte_level import bytes_of, read_specification
from components.tokenizers.load import tokenizer_file
from components.tokenizers.sentencepiece import BYTE, NORMAL, SPACE, read_proto

FILE = "piece_bytes.npy"


def piece_bytes(folder: Path) -> NDArray[np.int64]:
    """(pieces,): the bytes of each piece's text; 0 for BOS, EOS and what no text is split into. Raises as `load_tokenizer`."""
    return _of_sentencepiece(folder) if tokenizer_file(folder).name == "tokenizer.model" else _of_byte_level(folder)


def _of_sentencepiece(folder: Path) -> NDArray[np.int64]:
    """A byte piece stands for one byte, `▁` for a space."""
    sizes = [
        1 if piece.type == BYTE else len(piece.piece.replace(SPACE, " ").encode()) if piece.type == NORMAL else 0
        for piece in read_proto(folder).pieces
    ]
    return np.asarray(sizes, dtype=np.int64)


def _of_byte_level(folder: Path) -> NDArray[np.int64]:
    """A letter stands for a byte; an added token is spelled as it is, and one that is special is never split off a text."""
    specification = read_specification(folder)
    sizes = {number: len(bytes_of(piece) or b"") for piece, number in specification["model"]["vocab"].items()}
    for token in specification["added_tokens"]:
        sizes[token["id"]] = 0 if token["special"] else len(token["content"].encode())
    return np.asarray([sizes[number] for number in range(len(sizes))], dtype=np.int64)


def write_piece_bytes(folder: Path, sizes: NDArray[np.int64]) -> None:
    """Replaces the table in a folder in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{FILE}.{os.getpid()}.npy"
    np.save(partial, sizes)
    partial.replace(folder / FILE)


def read_piece_bytes(folder: Path) -> NDArray[np.int64]:
    """Reads what `write_piece_bytes` wrote."""
    sizes: NDArray[np.int64] = np.load(folder / FILE)
    return sizes
