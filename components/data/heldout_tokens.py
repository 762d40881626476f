"""Held-out documents as tokens next to the shards, and the windows in which a model is measured on them.

Each language is one more source in the layout of `components.data.token_shards`, but no sample is cut from it. The bits that
its tokens cost, over the bytes of its text, are bits per byte, which are comparable whatever the tokenizer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.base.fields import Fields
from components.errors import InputError


class HeldoutText(Fields):
    """One language's held-out text: its files start with `key`."""

    language: str
    key: str
    documents: int = Field(gt=0)
    tokens: int
    """In the file; BOS, if there is one, and EOS of every document included."""
    characters: int
    bytes: int = Field(gt=0)
    """In UTF-8, of the text."""
    sha256: str
    """Of `<key>.bin`."""


@dataclass(frozen=True)
class HeldoutWindow:
    """Up to `sequence_length + 1` tokens; all but the first are scored, by what stands before them in the window."""

    language: str
    tokens: NDArray[np.int64]


def cut_windows(language: str, documents: Sequence[NDArray[np.int64]], before: int, length: int) -> list[HeldoutWindow]:
    """Windows in which every token of the text is scored exactly once, and neither BOS nor EOS are.

    `documents` are as the shards have them without their BOS and EOS. `before` stands in front of each: the BOS, or, if
    there is none, the EOS, which ends the document before it in training. Neighbouring windows share one token.
    """
    windows = []
    for document in documents:
        tokens = np.concatenate([[before], document]).astype(np.int64)
        windows += [HeldoutWindow(language, tokens[start : start + length + 1]) for start in range(0, len(tokens) - 1, length)]
    return windows


def read_windows(
    folder: Path, text: HeldoutText, dtype: str, special_tokens: tuple[int | None, int], length: int
) -> list[HeldoutWindow]:
    """The windows of one language; `special_tokens` are the tokenizer's BOS and EOS.

    Raises `InputError` if a file is not as stated.
    """
    path = folder / f"{text.key}.bin"
    try:
        tokens, offsets = np.fromfile(path, dtype=dtype), np.load(folder / f"{text.key}.offsets.npy")
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run the pack stage again.") from None
    if len(tokens) != text.tokens or offsets.shape != (text.documents + 1,):
        raise InputError(
            f"{path} has {len(tokens):,} tokens in {len(offsets) - 1:,} documents, but {text.tokens:,} in {text.documents:,} "
            "were packed. Run the pack stage again."
        )
    bos, eos = special_tokens
    first = 0 if bos is None else 1
    documents = [tokens[start + first : end - 1].astype(np.int64) for start, end in pairwise(offsets.tolist())]
    return cut_windows(text.language, documents, eos if bos is None else bos, length)
