"""Measures a tokenizer's fertility: tokens per character of the held-out documents."""

from pathlib import Path

from components.data.documents import read_documents
from components.errors import EmptyCorpus
from components.tokenizers.tokenizer import Tokenizer

HELDOUT_CHARACTERS = 2_000_000
"""Enough for three digits; a corpus of terabytes holds out more than anyone wants to count. Changes the report only."""


def tokens_per_character(tokenizer: Tokenizer, text: Path) -> dict[str, float]:
    """Tokens per code point of the held-out documents, by language; BOS and EOS not counted. Raises `EmptyCorpus`."""
    files = sorted((text / "heldout").glob("*.jsonl.gz"))
    if not files:
        raise EmptyCorpus(f"{text / 'heldout'} holds no document to measure on. Raise clean.heldout_fraction.")
    return {path.name.removesuffix(".jsonl.gz"): _fertility(tokenizer, path) for path in files}


def _fertility(tokenizer: Tokenizer, path: Path) -> float:
    """Tokens per code point of one file's documents, up to the limit."""
    tokens = characters = 0
    for document in read_documents(path):
        tokens += len(tokenizer.encode(document.text))
        characters += len(document.text)
        if characters >= HELDOUT_CHARACTERS:
            break
    if not characters:
        raise EmptyCorpus(f"{path} holds no text. Raise clean.heldout_fraction, or collect more of this language.")
    return round(tokens / characters, 6)
