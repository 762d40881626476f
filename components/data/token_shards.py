"""Token shards: documents as `BOS + text + EOS`, end to end by source, and samples cut from them in a fixed order.

A tokenizer without a BOS leaves it out; EOS ends every document. A folder holds `index.json` and, for each source:

    <key>.bin               token ids, little-endian, two or four bytes each
    <key>.offsets.npy       int64: the token at which each document starts, and the end
    <key>.documents.jsonl   the documents' ids
    <key>.lines.npy         int64: the byte at which each id's line starts, and the end

and for all of them `order.npy` (uint16: the source of each sample of the mixture's cycle). Held-out text lies next to them
in the same layout, but no sample is cut from it (`components.data.heldout_tokens`). Documents are mapped into memory
and looked up by place: none of these files is read whole. Sample n is a pure function of the folder and n;
`components.data.provenance` leads from a sample to its documents and back.
"""

import json
from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from components.base.fields import Fields
from components.data.heldout_tokens import HeldoutText
from components.data.mixture import Mixture
from components.data.mixture_search import largest_deviation
from components.errors import InputError
from components.formats.files import write_json
from components.tokenizers.fingerprint import TokenizerFingerprint

Tokens = NDArray[np.int64]
Shard = NDArray[np.unsignedinteger]
LARGEST_16_BIT_VOCABULARY = 65_535


class PackedSource(Fields):
    """One source of the mixture: its files start with `key`."""

    key: str
    text: str
    """The pattern of clean text that it was packed from."""
    weight: float = Field(gt=0)
    documents: int
    tokens: int
    windows: int
    """Samples in one pass over the source: each has `sequence_length` targets, the last remainder is left out."""
    bos_fraction: float | None
    """The share of documents that start with BOS, counted in the written file; None if the tokenizer has no BOS."""
    eos_fraction: float
    """The share of documents that end with EOS, counted in the written file."""
    largest_id: int
    """In the written file."""
    sha256: str
    """Of `<key>.bin`."""


class MixtureFacts(Fields):
    """What was measured of the order in which the sources take turns."""

    cycle: int
    """Samples after which it repeats."""
    largest_deviation: float
    """Samples that a source is off its weight at most, over any first samples, however many."""
    largest_deviation_in_1000: float
    """The same over any 1,000 samples in a row."""


class TokenIndex(Fields):
    """`index.json`: what was packed, with which tokenizer, and how it is sampled."""

    version: Literal[5]
    sequence_length: int = Field(gt=0)
    seed: int = Field(ge=0)
    dtype: Literal["<u2", "<u4"]
    tokenizer: str
    """SHA-256 of the file that defines the tokenizer: `tokenizer.model`, or else `tokenizer.json`."""
    sources: tuple[PackedSource, ...] = Field(min_length=1)
    heldout: tuple[HeldoutText, ...]
    """What training is measured on, by language."""
    mixture: MixtureFacts
    tokenizer_fingerprint: TokenizerFingerprint
    """Of the tokenizer: what its ids mean."""


@dataclass(frozen=True)
class SampleOrigin:
    """Where a sample comes from: window `window` of source number `source`, in the source's pass number `epoch`."""

    source: int
    epoch: int
    window: int


def token_dtype(vocabulary: int) -> Literal["<u2", "<u4"]:
    """Two bytes per token if the vocabulary allows it, else four."""
    return "<u2" if vocabulary <= LARGEST_16_BIT_VOCABULARY else "<u4"


def write_index(folder: Path, index: TokenIndex) -> None:
    """Writes `index.json`, last of all files: a folder with an index is whole."""
    write_json(folder / "index.json", index.model_dump(mode="json"))


def write_order(folder: Path, mixture: Mixture) -> MixtureFacts:
    """Writes `order.npy`; returns what was measured of it."""
    np.save(folder / "order.npy", np.asarray(mixture.order, dtype="<u2"))
    return MixtureFacts(
        cycle=len(mixture.order), largest_deviation=largest_deviation(mixture.order),
        largest_deviation_in_1000=largest_deviation(mixture.order, 1000),
    )


def read_order(folder: Path, index: TokenIndex) -> Mixture:
    """Reads `order.npy`. Raises `InputError` if it is not as long as stated, or names another number of sources."""
    path = folder / "order.npy"
    try:
        order = np.load(path)
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run the pack stage again.") from None
    if order.shape != (index.mixture.cycle,) or int(order.max()) + 1 != len(index.sources):
        raise InputError(
            f"{path} has {order.shape[0]:,} samples of {int(order.max()) + 1} sources, expected {index.mixture.cycle:,} of "
            f"{len(index.sources)}. Run the pack stage again."
        )
    return Mixture.in_order(array("L", order.tolist()), len(index.sources))


def write_nothing(folder: Path) -> None:
    """Writes the `index.json` of a stage that packed nothing."""
    write_json(folder / "index.json", {"version": 5, "sources": []})


def read_index(folder: Path) -> TokenIndex:
    """Reads `index.json`. Raises `InputError` if it is absent, says that nothing was packed, or is not an index."""
    path = folder / "index.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and values.get("sources") == []:
            raise InputError(f"{folder}: nothing was packed there (kind: passthrough). Pack with kind: mixture to train.")
        if isinstance(values, dict) and values.get("version") != 5:
            raise InputError(f"{path} is of version {values.get('version')}, expected 5. Run the pack stage again.")
        return TokenIndex.model_validate(values)
    except FileNotFoundError:
        raise InputError(f"{folder} holds no packed tokens: index.json is missing. Run the pack stage.") from None
    except (json.JSONDecodeError, ValidationError) as error:
        raise InputError(f"{path} is not a token index of version 5: {error}. Run the pack stage again.") from None


def check_special_tokens(folder: Path, index: TokenIndex) -> None:
    """Raises `InputError` unless every document was written with its special tokens: BOS, if there is one, and EOS."""
    for source in index.sources:
        for name, fraction in (("start with BOS", source.bos_fraction), ("end with EOS", source.eos_fraction)):
            if fraction is not None and fraction < 1:
                raise InputError(
                    f"{folder}: {fraction:.2%} of the {source.documents:,} documents of {source.text!r} {name}, expected all. "
                    "Run the pack stage again."
                )


class TokenShards:
    """Reads a folder of token shards, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        """Raises `InputError` if nothing was packed, or if a file is not as long as the index says."""
        self.folder = folder
        self.index = read_index(folder)
        self.mixture = read_order(folder, self.index)
        self._shards = [open_shard(folder, self.index, source) for source in self.index.sources]
        self.offsets = [open_offsets(folder, source, "offsets") for source in self.index.sources]
        """Of each source: the token at which each document starts, and the end."""

    def sample(self, number: int) -> Tokens:
        """Sample `number` (from 0, without end): `sequence_length + 1` token ids, inputs [:-1] and targets [1:].

        Neighbouring windows share one token, so that every token but a source's first is a target exactly once per pass.
        """
        place, length = self.place(number), self.index.sequence_length
        start = place.window * length
        return self._shards[place.source][start : start + length + 1].astype(np.int64)

    def borders(self, number: int) -> Tokens:
        """Where documents begin within `sample(number)` (1 to `sequence_length`, rising), after its first token.

        Token p of the sample begins a document for each p; the target with that token is target p - 1. Whether one begins
        at 0 does not matter to a mask: a sample's first token has nothing before it.
        """
        place, length = self.place(number), self.index.sequence_length
        start, offsets = place.window * length, self.offsets[place.source]
        first, after = np.searchsorted(offsets, (start, start + length), side="right")
        return offsets[first:after] - start

    def place(self, number: int) -> SampleOrigin:
        """Where sample `number` comes from. Each pass over a source takes all its windows, in a new order."""
        source, turn = self.mixture.source_of(number)
        windows = self.index.sources[source].windows
        epoch, position = divmod(turn, windows)
        return SampleOrigin(source, epoch, int(window_order(self.index.seed, source, epoch, windows)[position]))


def open_shard(folder: Path, index: TokenIndex, source: PackedSource) -> Shard:
    """Maps a source's tokens into memory, read-only. Raises `InputError` if the file is not as long as stated."""
    path, width = folder / f"{source.key}.bin", np.dtype(index.dtype).itemsize
    found = path.stat().st_size if path.exists() else 0
    if found != source.tokens * width:
        raise InputError(
            f"{path} has {found:,} bytes, but {source.tokens:,} tokens of {width} bytes were packed "
            f"({source.tokens * width:,}). Run the pack stage again."
        )
    return np.asarray(np.memmap(path, dtype=np.dtype(index.dtype), mode="r"))  # a plain view: memmap's own slices are slow


def open_offsets(folder: Path, source: PackedSource, name: Literal["offsets", "lines"]) -> Tokens:
    """Maps `<key>.<name>.npy` into memory, read-only. Raises `InputError` unless it has an entry per document and the end."""
    path = folder / f"{source.key}.{name}.npy"
    try:
        offsets: Tokens = np.asarray(np.load(path, mmap_mode="r"))
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run the pack stage again.") from None
    if offsets.shape != (source.documents + 1,):
        raise InputError(
            f"{path} has the shape {offsets.shape}, but {source.documents:,} documents were packed: "
            f"({source.documents + 1},) was expected. Run the pack stage again."
        )
    return offsets


@lru_cache(maxsize=64)  # some sources, each near the end of one pass and the start of the next
def window_order(seed: int, source: int, epoch: int, windows: int) -> NDArray[np.int64]:
    """The order of a source's windows in one pass: a permutation, by PCG64 seeded with (seed, source, epoch)."""
    generator = np.random.Generator(np.random.PCG64([seed, source, epoch]))
    return generator.permutation(windows)
