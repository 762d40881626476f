"""Loads the tokenizer of a model folder: the one module that knows which family reads which file.

A folder with `tokenizer.model` is read by SentencePiece, which is several times faster than any other; a folder with
`tokenizer.json` alone is read by the `tokenizers` library.
"""

from pathlib import Path

from components.errors import InputError
from components.tokenizers.tokenizer import Tokenizer


def tokenizer_file(folder: Path) -> Path:
    """The one file that defines the folder's tokenizer. Raises `InputError` if there is none."""
    for name in ("tokenizer.model", "tokenizer.json"):
        if (folder / name).exists():
            return folder / name
    raise InputError(f"{folder} holds no tokenizer: neither tokenizer.model nor tokenizer.json. Name a model folder that does.")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder. Raises `InputError` if there is none, or if it is of another family."""
    if tokenizer_file(folder).name == "tokenizer.model":
        from components.tokenizers.sentencepiece import read_proto, tokenizer_of  # imports numpy

        return tokenizer_of(read_proto(folder))
    from components.tokenizers.byte_level import read_byte_level

    return read_byte_level(folder)
