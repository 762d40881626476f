"""Traces a sample to the documents that its tokens come from, and a document to every sample that has a part of it.

Neither direction looks at other samples: forwards is a binary search among the documents' offsets, backwards inverts the
mixture and the order of the windows, one pass over a source at a time.
"""

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path

import numpy as np

from components.data.token_shards import PackedSource, TokenShards, open_offsets, window_order
from components.errors import InputError


@dataclass(frozen=True)
class Span:
    """`tokens` tokens of a document, from its token number `first` (from 0: BOS, if there is one)."""

    document: str
    first: int
    tokens: int


@dataclass(frozen=True)
class Packed:
    """A document as it was packed: number `number` of source number `source`, with so many tokens."""

    source: int
    number: int
    tokens: int


@dataclass(frozen=True)
class Sighting:
    """A sample that has a part of a document: in which pass over the source, and which part."""

    sample: int
    epoch: int
    first: int
    tokens: int


class Trace:
    """The documents of token shards, by sample and by id."""

    def __init__(self, shards: TokenShards) -> None:
        """Raises `InputError` if the documents' ids are not as the index says."""
        self.shards = shards
        self._names = [DocumentNames(shards.folder, source) for source in shards.index.sources]

    def spans(self, sample: int) -> list[Span]:
        """The parts of documents that make up the sample, in order; together they are its `sequence_length + 1` tokens."""
        place, length = self.shards.place(sample), self.shards.index.sequence_length
        start, offsets = place.window * length, self.shards.offsets[place.source]
        end = start + length + 1
        first = int(np.searchsorted(offsets, start, side="right")) - 1
        after = int(np.searchsorted(offsets, end, side="left"))
        edges = offsets[first : after + 1].tolist()
        return [
            Span(self._names[place.source].name(first + turn), max(start - edge, 0), min(behind, end) - max(edge, start))
            for turn, (edge, behind) in enumerate(pairwise(edges))
        ]

    def find(self, document: str) -> list[Packed]:
        """Where a document was packed, by its whole id: nowhere, once, or more often if sources of the mixture overlap."""
        return [
            Packed(source, number, int(np.diff(self.shards.offsets[source][number : number + 2])[0]))
            for source, names in enumerate(self._names)
            for number in names.numbers(document)
        ]

    def sightings(self, packed: Packed, samples: int) -> Iterator[Sighting]:
        """Where a document occurs in the first `samples` samples: pass by pass, in each in the order of the samples.

        None at all if the document lies in the remainder at the source's end that fills no sample.
        """
        source, length = self.shards.index.sources[packed.source], self.shards.index.sequence_length
        begin, end = self.shards.offsets[packed.source][packed.number : packed.number + 2].tolist()
        first, last = max(begin - 1, 0) // length, min((end - 1) // length, source.windows - 1)
        if first > last:
            return
        for epoch in count():
            if self.shards.mixture.sample_of(packed.source, epoch * source.windows) >= samples:
                return
            order = window_order(self.shards.index.seed, packed.source, epoch, source.windows)
            for position in np.flatnonzero((order >= first) & (order <= last)).tolist():
                sample = self.shards.mixture.sample_of(packed.source, epoch * source.windows + position)
                if sample >= samples:
                    return
                start = int(order[position]) * length
                begins, ends = max(begin, start), min(end, start + length + 1)
                yield Sighting(sample, epoch, begins - begin, ends - begins)


class DocumentNames:
    """The ids of a source's documents, mapped into memory: by number at once, by id in one search through the file."""

    def __init__(self, folder: Path, source: PackedSource) -> None:
        """Raises `InputError` if the two files are not as long as the index and each other say."""
        self._lines = open_offsets(folder, source, "lines")
        path = folder / f"{source.key}.documents.jsonl"
        found = path.stat().st_size if path.exists() else 0
        if found != self._lines[-1]:
            raise InputError(f"{path} has {found:,} bytes, expected {self._lines[-1]:,}. Run the pack stage again.")
        with path.open("rb") as stream:
            self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

    def name(self, number: int) -> str:
        """The id of document `number`."""
        name: str = json.loads(self._bytes[self._lines[number] : self._lines[number + 1]])
        return name

    def numbers(self, name: str) -> Iterator[int]:
        """The numbers of the documents of this id."""
        line = json.dumps(name).encode() + b"\n"
        place = self._bytes.find(line)
        while place >= 0:
            number = int(np.searchsorted(self._lines, place))
            if self._lines[number] == place:  # not the end of a longer line
                yield number
            place = self._bytes.find(line, place + 1)
