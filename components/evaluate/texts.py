"""Held-out documents in, the texts that bits per byte are measured on out: the same on every machine."""

import hashlib
from collections.abc import Iterable, Sequence

from components.formats.documents import Document


def choose_texts(documents: Iterable[Document], characters: int) -> list[str]:
    """Texts of exactly `characters` characters where there are as many: by document id, the last one cut.

    Ids are hashes, so the choice is spread over the sources and is the same on every machine.
    """
    chosen: list[str] = []
    left = characters
    for document in sorted(documents, key=lambda d: d.id):
        if left <= 0:
            break
        if text := document.text[:left]:
            chosen.append(text)
            left -= len(text)
    return chosen


def digest_texts(texts: Sequence[str]) -> str:
    """SHA-256 over the texts, each followed by a zero byte."""
    return hashlib.sha256(b"".join(text.encode() + b"\0" for text in texts)).hexdigest()


def count_bytes(texts: Sequence[str]) -> int:
    """UTF-8 bytes of the texts."""
    return sum(len(text.encode()) for text in texts)
