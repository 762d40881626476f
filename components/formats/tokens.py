"""Token shards: documents as `BOS + text + EOS`, end to end by source, and samples cut from them in a fixed order.

A tokenizer without a BOS leaves it out; EOS ends every document. A folder holds `index.json` and, for each source,
`<key>.bin` (little-endian token ids), `<key>.offsets.npy` (int64: where each document starts, and the end) and
`<key>.documents.jsonl` (their ids). Sample n is a pure function of the seed and n. Documents attend to each other across
their borders, as in Swallow's training (Megatron packing, no reset).
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from components.base import Fields
from components.errors import EmptyCorpus, InputError, TokenizerMismatch
from components.formats.behaviour import Behaviour
from components.formats.digests import digest_file
from components.formats.files import write_json
from components.formats.mixture import Mixture

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
    """Of the documents, those that start with BOS, counted in the written file; None: the tokenizer has no BOS."""
    eos_fraction: float
    """Of the documents, those that end with EOS, counted in the written file."""
    largest_id: int
    """In the written file."""
    sha256: str
    """Of `<key>.bin`."""


class TokenIndex(Fields):
    """`index.json`: what was packed, with which tokenizer, and how it is sampled."""

    version: Literal[2]
    sequence_length: int = Field(gt=0)
    seed: int = Field(ge=0)
    dtype: Literal["<u2", "<u4"]
    tokenizer: str
    """SHA-256 of the file that defines the tokenizer: `tokenizer.model`, or else `tokenizer.json`."""
    sources: tuple[PackedSource, ...] = Field(min_length=1)
    behaviour: Behaviour
    """Of the tokenizer: what its ids mean."""


class Place(Fields):
    """Where a sample comes from: window `window` of source number `source`, in the source's pass number `epoch`."""

    source: int
    epoch: int
    window: int


def token_dtype(vocabulary: int) -> Literal["<u2", "<u4"]:
    """Two bytes a token where the vocabulary allows it."""
    return "<u2" if vocabulary <= LARGEST_16_BIT_VOCABULARY else "<u4"


def write_source(
    folder: Path, key: str, dtype: str, documents: Iterable[tuple[str, NDArray[np.int32] | Tokens]]
) -> tuple[int, int]:
    """Writes the three files of one source in the order given; returns how many documents and tokens there are."""
    folder.mkdir(parents=True, exist_ok=True)
    offsets, limit = [0], np.iinfo(dtype).max
    with (folder / f"{key}.bin").open("wb") as shard, (folder / f"{key}.documents.jsonl").open("w") as ids:
        for name, tokens in documents:
            if tokens.max(initial=0) > limit:  # astype would wrap around in silence
                raise TokenizerMismatch(
                    f"document {name} has token {tokens.max():,}, which does not fit into {dtype}. The tokenizer states too "
                    "small a number of pieces: take its files from the place that they came from."
                )
            shard.write(tokens.astype(dtype).tobytes())
            ids.write(json.dumps(name) + "\n")
            offsets.append(offsets[-1] + len(tokens))
    np.save(folder / f"{key}.offsets.npy", np.asarray(offsets, dtype=np.int64))
    return len(offsets) - 1, offsets[-1]


def describe_source(
    folder: Path, key: str, text: str, weight: float, sequence_length: int, behaviour: Behaviour
) -> PackedSource:
    """The index entry of a source that was just written, as it is found in the file.

    Raises `EmptyCorpus` where it does not fill one sample, `TokenizerMismatch` where an id is none of the tokenizer's.
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
    written = np.memmap(path, dtype=np.dtype(token_dtype(behaviour.pieces)), mode="r")
    begins, ends = _fractions(written, offsets, behaviour)
    return PackedSource(
        key=key, text=text, weight=weight, documents=documents, tokens=tokens, windows=windows, bos_fraction=begins,
        eos_fraction=ends, largest_id=_largest_id(written, text, behaviour.pieces), sha256=digest_file(path),
    )


def _fractions(written: Shard, offsets: Tokens, behaviour: Behaviour) -> tuple[float | None, float]:
    """Of the documents, those that start with BOS (None: there is no BOS), and those that end with EOS."""
    documents, filled = len(offsets) - 1, np.diff(offsets) > 0
    first, last = written[offsets[:-1][filled]], written[offsets[1:][filled] - 1]
    begins = None if behaviour.bos is None else int((first == behaviour.bos).sum()) / documents
    return begins, int((last == behaviour.eos).sum()) / documents


def _largest_id(written: Shard, text: str, pieces: int) -> int:
    """Raises `TokenizerMismatch` where it is no id of the tokenizer's."""
    largest = int(written.max())
    if largest >= pieces:
        raise TokenizerMismatch(
            f"the text of {text!r} gave token {largest:,}, but the last of its tokenizer's pieces is {pieces - 1:,}. "
            "The tokenizer's files contradict each other: take them from the place that they came from."
        )
    return largest


def write_index(folder: Path, index: TokenIndex) -> None:
    """Writes `index.json`, last of all files: a folder with an index is whole."""
    write_json(folder / "index.json", index.model_dump(mode="json"))


def write_nothing(folder: Path) -> None:
    """Writes the `index.json` of a stage that packed nothing."""
    write_json(folder / "index.json", {"version": 2, "sources": []})


def read_index(folder: Path) -> TokenIndex:
    """Reads `index.json`. Raises `InputError` where it is absent, says that nothing was packed, or is no index."""
    path = folder / "index.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and values.get("sources") == []:
            raise InputError(f"{folder}: nothing was packed there (kind: keep). Pack with kind: mixture to train.")
        if isinstance(values, dict) and values.get("version") != 2:
            raise InputError(f"{path} is of version {values.get('version')}, expected 2. Run the pack stage again.")
        return TokenIndex.model_validate(values)
    except FileNotFoundError:
        raise InputError(f"{folder} holds no packed tokens: index.json is missing. Run the pack stage.") from None
    except (json.JSONDecodeError, ValidationError) as error:
        raise InputError(f"{path} is no token index of version 2: {error}. Run the pack stage again.") from None


def check_frames(folder: Path, index: TokenIndex) -> None:
    """Raises `InputError` unless every document was written with its BOS, where there is one, and its EOS."""
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
        """Raises `InputError` where nothing was packed, or where a file is not as long as the index says."""
        self.folder = folder
        self.index = read_index(folder)
        self.mixture = Mixture.of([source.weight for source in self.index.sources])
        self._shards = [open_shard(folder, self.index, source) for source in self.index.sources]

    def sample(self, number: int) -> Tokens:
        """Sample `number` (from 0, without end): `sequence_length + 1` token ids, inputs [:-1] and targets [1:].

        Neighbouring windows share one token, so that every token but a source's first is a target exactly once a pass.
        """
        place, length = self.place(number), self.index.sequence_length
        start = place.window * length
        tokens: Tokens = self._shards[place.source][start : start + length + 1].astype(np.int64)
        return tokens

    def place(self, number: int) -> Place:
        """Where sample `number` comes from. Each pass over a source takes all its windows, in a new order."""
        source, turn = self.mixture.source_of(number)
        epoch, position = divmod(turn, self.index.sources[source].windows)
        order = window_order(self.index.seed, source, epoch, self.index.sources[source].windows)
        return Place(source=source, epoch=epoch, window=int(order[position]))

    def documents(self, number: int) -> list[str]:
        """The ids of the documents that sample `number` has tokens of, in order."""
        place, length = self.place(number), self.index.sequence_length
        key = self.index.sources[place.source].key
        offsets = np.load(self.folder / f"{key}.offsets.npy", mmap_mode="r")
        start = place.window * length
        first = int(np.searchsorted(offsets, start, side="right")) - 1
        after = int(np.searchsorted(offsets, start + length + 1, side="left"))
        ids = (self.folder / f"{key}.documents.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in ids[first:after]]


def open_shard(folder: Path, index: TokenIndex, source: PackedSource) -> Shard:
    """Maps a source's tokens into memory, read-only. Raises `InputError` where the file is not as long as stated."""
    path, width = folder / f"{source.key}.bin", np.dtype(index.dtype).itemsize
    found = path.stat().st_size if path.exists() else 0
    if found != source.tokens * width:
        raise InputError(
            f"{path} has {found:,} bytes, but {source.tokens:,} tokens of {width} bytes were packed "
            f"({source.tokens * width:,}). Run the pack stage again."
        )
    return np.memmap(path, dtype=np.dtype(index.dtype), mode="r")


@lru_cache(maxsize=64)  # some sources, each near the end of one pass and the start of the next
def window_order(seed: int, source: int, epoch: int, windows: int) -> NDArray[np.int64]:
    """The order of a source's windows in one pass: a permutation, by PCG64 seeded with (seed, source, epoch)."""
    generator = np.random.Generator(np.random.PCG64([seed, source, epoch]))
    return generator.permutation(windows)
