"""Counts the bytes of held-out texts, and takes their digest: what a score says about the texts it was measured on."""

import hashlib
from collections.abc import Sequence


def digest_texts(texts: Sequence[str]) -> str:
    """SHA-256 over the texts, each followed by a zero byte."""
    return hashlib.sha256(b"".join(text.encode() + b"\0" for text in texts)).hexdigest()


def count_bytes(texts: Sequence[str]) -> int:
    """UTF-8 bytes of the texts."""
    return sum(len(text.encode()) for text in texts)
