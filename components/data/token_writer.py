"""Writes the token shards of one source from its tokenised documents, and states what is found in the files."""

import json
from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.data.token_shards import PackedSource, Shard, Tokens, token_dtype
from components.errors import EmptyCorpus, TokenizerMismatch
from components.formats.digests import digest_file
from components.formats.disk import naming
from components.tokenizers.fingerprint import TokenizerFingerprint


def write_source(
    folder: Path, key: str, dtype: str, documents: Iterable[tuple[str, NDArray[np.int32] | Tokens]]
) -> tuple[int, int]:
    """Writes the four files of one source in the order given; returns how many documents and tokens there are.

    Memory holds 16 bytes per document. Raises `TokenizerMismatch` if an id does not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    offsets, lines, limit = array("q", [0]), array("q", [0]), np.iinfo(dtype).max
    path = folder / f"{key}.bin"
    with naming(path), path.open("wb") as shard, (folder / f"{key}.documents.jsonl").open("wb") as ids:
        for name, tokens in documents:
            if tokens.max(initial=0) > limit:  # astype would wrap around in silence
                raise TokenizerMismatch(
                    f"document {name} has token {tokens.max():,}, which does not fit into {dtype}. The tokenizer states too "
                    "small a number of pieces: take its files from the place that they came from."
                )
            shard.write(tokens.astype(dtype).data)
            lines.append(lines[-1] + ids.write(json.dumps(name).encode() + b"\n"))
            offsets.append(offsets[-1] + len(tokens))
    np.save(folder / f"{key}.offsets.npy", np.asarray(offsets, dtype="<i8"))
    np.save(folder / f"{key}.lines.npy", np.asarray(lines, dtype="<i8"))
    return len(offsets) - 1, offsets[-1]


def describe_source(
    folder: Path, key: str, text: str, weight: float, sequence_length: int, fingerprint: TokenizerFingerprint
) -> PackedSource:
    """The index entry of a source that was just written, as it is found in the file.

    Raises `EmptyCorpus` if the source does not fill one sample, `TokenizerMismatch` if an id is not one of the tokenizer's.
    """
    offsets = np.load(folder / f"{key}.offsets.npy")
    tokens, documents = int(offsets[-1]), len(offsets) - 1
    windows = max(tokens - 1, 0) // sequence_length
    if not windows:
        raise EmptyCorpus(
            f"the text of {text!r} has {tokens:,} tokens in {documents:,} documents, but one sample takes "
            f"{sequence_length + 1:,}. Add text, widen the pattern, or lower sequence_length."
        )
    path = folder / f"{key}.bin"
    written = np.memmap(path, dtype=np.dtype(token_dtype(fingerprint.pieces)), mode="r")
    begins, ends = _fractions(written, offsets, fingerprint)
    return PackedSource(
        key=key, text=text, weight=weight, documents=documents, tokens=tokens, windows=windows, bos_fraction=begins,
        eos_fraction=ends, largest_id=_largest_id(written, text, fingerprint.pieces), sha256=digest_file(path),
    )


def _fractions(written: Shard, offsets: Tokens, fingerprint: TokenizerFingerprint) -> tuple[float | None, float]:
    """The share of documents that start with BOS (None if there is no BOS), and the share of those that end with EOS."""
    documents, filled = len(offsets) - 1, np.diff(offsets) > 0
    first, last = written[offsets[:-1][filled]], written[offsets[1:][filled] - 1]
    begins = None if fingerprint.bos is None else int((first == fingerprint.bos).sum()) / documents
    return begins, int((last == fingerprint.eos).sum()) / documents


def _largest_id(written: Shard, text: str, pieces: int) -> int:
    """The largest id in the file. Raises `TokenizerMismatch` if it is not an id of the tokenizer's."""
    largest = int(written.max())
    if largest >= pieces:
        raise TokenizerMismatch(
            f"the text of {text!r} gave token {largest:,}, but the last of its tokenizer's pieces is {pieces - 1:,}. "
            "The tokenizer's files contradict each other: take them from the place that they came from."
        )
    return largest
