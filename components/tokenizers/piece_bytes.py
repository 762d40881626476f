"""Says how many bytes of text each piece of a tokenizer stands for, so that text can be counted in tokens.

Summed over the tokens of a document, they are the bytes of its text in UTF-8, except for what the tokenizer changes before it
splits the text: SentencePiece puts a space in front of it (one byte more for each document, if the model asks for it) and takes
U+2581 for a space; a byte-level tokenizer may normalise the text to NFC, and drops the bytes that have no piece.
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
    """The bytes of each piece's text, shape (pieces,); 0 for BOS, EOS and other special ones. Raises as `load_tokenizer`."""
    return _of_sentencepiece(folder) if tokenizer_file(folder).name == "tokenizer.model" else _of_byte_level(folder)


def _of_sentencepiece(folder: Path) -> NDArray[np.int64]:
    """A byte piece stands for one byte, and `▁` for a space."""
    sizes = [
        1 if piece.type == BYTE else len(piece.piece.replace(SPACE, " ").encode()) if piece.type == NORMAL else 0
        for piece in read_proto(folder).pieces
    ]
    return np.asarray(sizes, dtype=np.int64)


def _of_byte_level(folder: Path) -> NDArray[np.int64]:
    """A letter stands for a byte. An added token stands for its own spelling, or for nothing if it is special."""
    specification = read_specification(folder)
    sizes = {number: len(bytes_of(piece) or b"") for piece, number in specification["model"]["vocab"].items()}
    for token in specification["added_tokens"]:
        sizes[token["id"]] = 0 if token["special"] else len(token["content"].encode())
    return np.asarray([sizes[number] for number in range(len(sizes))], dtype=np.int64)


def write_piece_bytes(folder: Path, sizes: NDArray[np.int64]) -> None:
    """Writes the table into a folder; an older one is replaced in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{FILE}.{os.getpid()}.npy"
    np.save(partial, sizes)
    partial.replace(folder / FILE)


def read_piece_bytes(folder: Path) -> NDArray[np.int64]:
    """Reads what `write_piece_bytes` wrote."""
    sizes: NDArray[np.int64] = np.load(folder / FILE)
    return sizes
