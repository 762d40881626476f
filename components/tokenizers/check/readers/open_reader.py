"""Chooses the reader for a tokenizer folder: the one module that knows which kind of tokenizer has which file."""

from pathlib import Path

from components.errors import InputError
from components.tokenizers.check.readers.auto_reader import read_auto
from components.tokenizers.check.readers.fast_reader import read_fast
from components.tokenizers.check.readers.reader import Reader
from components.tokenizers.check.readers.sentencepiece_reader import read_sentencepiece


def open_reader(folder: Path) -> Reader:
    """The folder's tokenizer: SentencePiece reads `tokenizer.model`, tokenizers `tokenizer.json`, transformers other files.

    Raises `InputError` if there is no tokenizer, or if it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Name a folder that holds a tokenizer.")
    if (folder / "tokenizer.model").exists():
        return read_sentencepiece(folder / "tokenizer.model")
    if (folder / "tokenizer.json").exists():
        return read_fast(folder / "tokenizer.json")
    return read_auto(folder)


def companion(folder: Path) -> Reader | None:
    """The second reading of a folder that holds both files: its `tokenizer.json`; None if it does not."""
    if not all((folder / name).exists() for name in ("tokenizer.model", "tokenizer.json")):
        return None
    return read_fast(folder / "tokenizer.json")
