"""Tokenises documents in any number of processes, always in the same order."""

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from components.data.documents import first_texts, heldout_file, read_documents
from components.data.heldout_tokens import HeldoutText
from components.data.token_writer import write_source
from components.errors import EmptyCorpus, InputError
from components.formats.digests import digest_file
from components.tokenizers.fingerprint import TokenizerFingerprint
from components.tokenizers.load import tokenizer_file
from components.tokenizers.special_tokens import document_tokenizer, folder_tokenizer_fingerprint
from components.tokenizers.tokenizer import Tokenizer

Text = tuple[str, str]
"""A document's id and text."""
Tokenised = tuple[str, NDArray[np.int32]]
"""A document's id and its tokens."""

DOCUMENTS_A_TASK = 32


def packing_tokenizer_fingerprint(model: Path) -> TokenizerFingerprint:
    """The fingerprint of the tokenizer to pack with.

    Raises `InputError` if it has no EOS, and as `folder_tokenizer_fingerprint` does.
    """
    fingerprint = folder_tokenizer_fingerprint(model)
    if fingerprint.eos is None:
        raise InputError(
            f"{tokenizer_file(model)} has no EOS, which must end every document. Name the EOS piece in the tokenizer's files, "
            "or point `model` at a folder that has one."
        )
    return fingerprint


@cache
def loaded(model: Path) -> Tokenizer:
    """The tokenizer of a model folder, loaded once in a worker process, which lives as long as its pool."""
    return document_tokenizer(model)


def tokenise_for(model: Path, texts: list[Text]) -> list[Tokenised]:
    """`tokenise`, in a worker process."""
    return tokenise(loaded(model), texts)


def tokenise(tokenizer: Tokenizer, texts: list[Text]) -> list[Tokenised]:
    """`BOS + text + EOS` of each document, in order; without a BOS if the tokenizer has none."""
    documents = tokenizer.encode_documents([text for _, text in texts])
    return list(zip((name for name, _ in texts), documents, strict=True))


def pack_heldout(text: Path, model: Path, output: Path, dtype: str, share: tuple[str, int]) -> HeldoutText:
    """Writes a language's first held-out characters; `share` names both. Raises `EmptyCorpus` if there is no text."""
    language, characters = share
    path = heldout_file(text, language)
    texts = first_texts(read_documents(path), characters)
    if not texts:
        raise EmptyCorpus(f"{path} holds no text to measure training on. Raise clean.heldout_fraction.")
    named = [(f"heldout-{language}-{number}", each) for number, each in enumerate(texts)]
    key = f"heldout-{language}"
    documents, tokens = write_source(output, key, dtype, tokenise(document_tokenizer(model), named))
    return HeldoutText(
        language=language, key=key, documents=documents, tokens=tokens, characters=sum(map(len, texts)),
        bytes=sum(len(each.encode()) for each in texts), sha256=digest_file(output / f"{key}.bin"),
    )


class Tokenisers:
    """Processes that tokenise while this one reads and writes; with one worker, this process alone."""

    def __init__(self, model: Path, workers: int, held_out: frozenset[str]) -> None:
        """No document of `held_out` is let through."""
        self.model = model
        self.workers = workers
        self.held_out = held_out
        # spawned, not forked: the parent may have threads, whose locks a fork would copy in any state
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=spawn) if workers > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def tokenise(self, files: list[Path]) -> Iterator[Tokenised]:
        """The documents of these files, in order, as tokens. Raises `InputError` if one is held out."""
        texts = (text for path in files for text in self._texts(path))
        tasks = iter(lambda: list(islice(texts, DOCUMENTS_A_TASK)), [])
        if self._pool is None:
            tokenizer = document_tokenizer(self.model)
            for task in tasks:
                yield from tokenise(tokenizer, task)
            return
        # only so many tasks ahead: a corpus does not fit into memory
        running: deque[Future[list[Tokenised]]] = deque()
        for task in tasks:
            running.append(self._pool.submit(tokenise_for, self.model, task))
            if len(running) > 4 * self.workers:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()

    def _texts(self, path: Path) -> Iterator[Text]:
        """The documents of a file."""
        for document in read_documents(path):
            if document.id in self.held_out:
                raise InputError(
                    f"{path}: document {document.id} ({document.uri}) is also held out, and what is measured on must not be "
                    "trained on. Run the clean stage again; text added by hand must not come from its heldout/ folder."
                )
            yield document.id, document.text
