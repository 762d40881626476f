"""Samples the text to train a vocabulary on from clean documents, and cuts it into the lines that the trainer reads."""

import hashlib
import heapq
import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path

from components.data.documents import Document, read_documents, training_files
from components.expand.growth import TrainingText

RUN = re.compile(r"[^\x00-\x7f\u2581\s]{1,1000}")
"""Text between spaces, line ends and ASCII: no new piece may hold these, so merges across them would be wasted."""

WORD_BORDER = "\x1f"
"""What stands between MeCab's words in a line for the trainer. It is ASCII, so no run holds it."""


def training_texts(text: Path, shares: Sequence[TrainingText], maximum_characters: int, seed: int) -> dict[str, list[str]]:
    """For each pattern, the training documents as `sample` takes them, up to its share. Raises `EmptyCorpus`."""
    limits = budgets([share.weight for share in shares], maximum_characters)
    taken = {}
    for share, limit in zip(shares, limits, strict=True):
        documents = (document for path in training_files(text, share.text) for document in read_documents(path))
        taken[share.text] = list(sample(documents, limit, seed))
    return taken


def budgets(weights: Sequence[float], total: int) -> list[int]:
    """`total` divided by the weights, by largest remainder; the earlier of two equals gets the character left over."""
    exact = [Fraction(weight) * total / sum(map(Fraction, weights)) for weight in weights]
    whole = [int(share) for share in exact]
    order = sorted(range(len(exact)), key=lambda place: (whole[place] - exact[place], place))
    for place in order[: total - sum(whole)]:
        whole[place] += 1
    return whole


def sample(documents: Iterable[Document], maximum_characters: int, seed: int) -> Iterator[str]:
    """NFKC-normalised texts in an order that `seed` shuffles, up to `maximum_characters`; the last one is cut.

    It makes one pass, and memory holds what is taken alone: the documents whose hashes with the seed are the smallest,
    whichever files they come from.
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


def runs_of(texts: Iterable[str]) -> Iterator[str]:
    """The non-ASCII runs of the texts, each of 1 to 1,000 characters: SentencePiece skips what exceeds 4,192 bytes."""
    return (run.group() for text in texts for run in RUN.finditer(text))


def training_lines(texts: Iterable[str], segmentation: str | None) -> Iterator[str]:
    """The runs, with `WORD_BORDER` between the words of each if a segmentation is named."""
    runs = runs_of(texts)
    return runs if segmentation is None else map(mecab_borders(), runs)


def mecab_borders() -> Callable[[str], str]:
    """A function that puts a border between the words of a run, as MeCab with UniDic (the package unidic-lite) finds them."""
    import fugashi
    import unidic_lite

    folder = shlex.quote(unidic_lite.DICDIR)  # named, or fugashi takes another UniDic that happens to be installed
    tagger = fugashi.GenericTagger(f"-Owakati -r {folder}/mecabrc -d {folder}")
    return lambda run: WORD_BORDER.join(tagger.parse(run).split())
