"""Documents in, token ids out, in any number of processes and always in the same order."""

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from components.errors import InputError
from components.formats.digests import digest_file
from components.formats.documents import read_documents
from components.formats.tokens import token_dtype

Text = tuple[str, str]
"""A document's id and text."""
Tokenised = tuple[str, NDArray[np.int64]]
"""A document's id and its tokens."""

DOCUMENTS_A_TASK = 32


@dataclass(frozen=True)
class TokenizerFacts:
    """What the index states about a tokenizer."""

    path: Path
    pieces: int
    bos: int
    eos: int
    sha256: str

    @property
    def dtype(self) -> Literal["<u2", "<u4"]:
        """Of the shards."""
        return token_dtype(self.pieces)


def describe_tokenizer(model: Path) -> TokenizerFacts:
    """Reads `tokenizer.model` of a model folder. Raises `InputError` where it is absent or has no BOS or EOS."""
    path = model / "tokenizer.model"
    if not path.exists():
        raise InputError(f"{model} has no tokenizer.model to pack with. Point `model` at a folder that has one.")
    processor = load_tokenizer(path)
    bos, eos = processor.bos_id(), processor.eos_id()
    if bos < 0 or eos < 0:
        raise InputError(f"{path} defines bos {bos} and eos {eos}; both must be pieces, for they frame every document.")
    return TokenizerFacts(path, processor.get_piece_size(), bos, eos, digest_file(path))


@cache
def load_tokenizer(path: Path) -> Any:
    """The SentencePiece model, loaded once a process."""
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_file=str(path))


def tokenise(tokenizer: Path, texts: list[Text]) -> list[Tokenised]:
    """`BOS + text + EOS` of each document, in order."""
    processor = load_tokenizer(tokenizer)
    bos, eos = processor.bos_id(), processor.eos_id()
    lists = processor.encode([text for _, text in texts], num_threads=1)
    return [
        (name, np.asarray([bos, *tokens, eos], dtype=np.int64)) for (name, _), tokens in zip(texts, lists, strict=True)
    ]


class Tokenisers:
    """Processes that tokenise while this one reads and writes; with one worker, this process alone."""

    def __init__(self, tokenizer: Path, workers: int) -> None:
        self.tokenizer = tokenizer
        self.workers = workers
        # spawned, not forked: the parent may have threads, whose locks a fork would copy in any state
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=spawn) if workers > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def tokenise(self, files: list[Path]) -> Iterator[Tokenised]:
        """The documents of these files, in order, as tokens."""
        texts = ((document.id, document.text) for path in files for document in read_documents(path))
        tasks = iter(lambda: list(islice(texts, DOCUMENTS_A_TASK)), [])
        if self._pool is None:
            for task in tasks:
                yield from tokenise(self.tokenizer, task)
            return
        # only so many tasks ahead: a corpus does not fit into memory
        running: deque[Future[list[Tokenised]]] = deque()
        for task in tasks:
            running.append(self._pool.submit(tokenise, self.tokenizer, task))
            if len(running) > 4 * self.workers:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()
