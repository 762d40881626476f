"""Clean training documents in, the runs of text to train a vocabulary on out."""

import hashlib
import heapq
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from components.formats.documents import Document, read_documents, training_files

RUN = re.compile(r"[^\x00-\x7f\u2581\s]{1,1000}")
"""Text between spaces, line ends and ASCII: no new piece may hold these, so merges across them would be wasted."""


def training_texts(text: Path, pattern: str, maximum_characters: int, seed: int) -> list[str]:
    """The training documents of the sources that match, as `sample` takes them. Raises `EmptyCorpus`."""
    files = training_files(text, pattern)
    return list(sample((document for path in files for document in read_documents(path)), maximum_characters, seed))


def runs_of(texts: Iterable[str]) -> Iterator[str]:
    """The non-ASCII runs of the texts, each of 1 to 1,000 characters: SentencePiece skips what exceeds 4,192 bytes."""
    return (run.group() for text in texts for run in RUN.finditer(text))


def sample(documents: Iterable[Document], maximum_characters: int, seed: int) -> Iterator[str]:
    """NFKC-normalised texts in an order that `seed` shuffles, up to `maximum_characters`; the last one is cut.

    One pass in the memory of what is taken: whichever files they come from, it takes the documents whose hashes with
    the seed are the smallest.
    """
    taken: list[tuple[int, int, str]] = []  # the largest hash on top, a counter to break ties
    characters, order = 0, count()
    for document in documents:
        text = unicodedata.normalize("NFKC", document.text)
        key = int.from_bytes(hashlib.sha256(f"{seed} {document.id}".encode()).digest()[:8], "big")
        heapq.heappush(taken, (-key, -next(order), text))
        characters += len(text)
        while characters - len(taken[0][2]) >= maximum_characters:
            characters -= len(heapq.heappop(taken)[2])
    room = maximum_characters
    for _, _, text in sorted(taken, reverse=True):
        yield text[:room]
        room -= min(room, len(text))
