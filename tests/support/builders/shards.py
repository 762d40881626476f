"""Writes token shards for given document lengths and weights; their tokens count up, so that a token tells its place."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from components.data.mixture import Mixture, tijdeman, whole_weights
from components.data.token_shards import TokenIndex, TokenShards, write_index, write_order
from components.data.token_writer import describe_source, write_source
from components.tokenizers.fingerprint import TokenizerFingerprint

LENGTH = 8
FINGERPRINT = TokenizerFingerprint(
    version=1, pieces=60_000, bos=1, eos=2, document=[1, 2], reachable=0, vocabulary="0" * 64, golden={"": []}
)
"""Not of a real tokenizer: these tokens count up."""


def quick_mixture(weights: list[float]) -> Mixture:
    """A mixture in Tijdeman's order, which needs no search."""
    turns = whole_weights(weights)
    return Mixture.in_order(tijdeman(turns), len(turns))


def write_shards(folder: Path, lengths: dict[str, list[int]], weights: list[float], seed: int = 5) -> TokenShards:
    """Writes a source for each key; document n of source `ja` is `ja-n`."""
    sources = []
    for (key, documents), weight in zip(lengths.items(), weights, strict=True):
        edges = np.cumsum([0, *documents])
        parts = [(f"{key}-{n}", np.arange(a, b, dtype=np.int64)) for n, (a, b) in enumerate(pairwise(edges))]
        write_source(folder, key, "<u2", parts)
        sources.append(describe_source(folder, key, f"{key}/*", weight, LENGTH, FINGERPRINT))
    index = TokenIndex(
        version=5, sequence_length=LENGTH, seed=seed, dtype="<u2", tokenizer="0" * 64, sources=tuple(sources), heldout=(),
        mixture=write_order(folder, quick_mixture(weights)), tokenizer_fingerprint=FINGERPRINT,
    )
    write_index(folder, index)
    return TokenShards(folder)
