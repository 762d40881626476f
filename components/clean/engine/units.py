"""Divides the collected pages into units of work, and finds where in a file a unit's first page begins.

A unit is a run of bytes of a WARC file, and has the pages whose record begins there. Such a run can be read without what
comes before it, because a record is a gzip member of its own. Where a record seems to begin is a guess, because a page may
hold a WARC file. So every unit says where its pages begin and where the next unit's must begin, and the merge checks the
chain.

Records that share a member belong to the unit that the member begins in: a file that is one member is one unit's work.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from components.clean.engine.pages import read_pages
from components.clean.engine.verdicts import Borders
from components.clean.page import Page
from components.formats.manifest import Manifest

UNITS = 10_000
"""How many units a corpus should have: thousands of workers are busy to the end, and a folder still holds the files."""
SMALLEST_BYTES, LARGEST_BYTES = 256 * 1024, 64 * 1024 * 1024
"""A quarter of a second's work and a minute or two: what is lost if a worker is killed."""
MEMBER = b"\x1f\x8b\x08"
CHUNK_BYTES = 256 * 1024
HEADER_BYTES = 4096


@dataclass(frozen=True)
class Unit:
    """The pages of source `source` (its place in the manifest) that begin at bytes from `begin` up to `end`."""

    number: int
    source: int
    name: str
    language: str
    begin: int
    end: int | None
    """None: up to the end of the file."""


def units_of(manifest: Manifest) -> list[Unit]:
    """All units, in the order of the pages; the same for any number of ranks and workers."""
    total = sum(source.warc.bytes for source in manifest.sources)
    size = min(max(total // UNITS, SMALLEST_BYTES), LARGEST_BYTES)
    units: list[Unit] = []
    for number, source in enumerate(manifest.sources):
        begins = range(0, max(source.warc.bytes, 1), size)
        for begin in begins:
            end = None if begin == begins[-1] else begin + size
            units.append(Unit(len(units), number, source.name, source.language, begin, end))
    return units


def read_unit(path: Path, unit: Unit, start: int | None, borders: Borders) -> Iterator[Page]:
    """The unit's pages; `borders` is filled in meanwhile. Raises `InputError` if they cannot be read.

    `start` is where a record is known to begin that no earlier unit has; if it is None, such a record is looked for.
    """
    with path.open("rb") as stream:
        reading_from = first_member(stream, unit) if start is None else start
        if reading_from is None:
            return
        is_ours = start is not None
        for position, page in read_pages(path, unit.source, unit.language, reading_from):
            is_behind = unit.end is not None and position >= unit.end
            if (is_behind or not is_ours) and begins_record(stream, position):
                if is_behind:
                    borders.after = position
                    return
                is_ours = True
            if is_ours:
                borders.first = position if borders.first is None else borders.first
                yield page


def true_start(path: Path, unit: Unit) -> int | None:
    """Where the unit's pages begin, found by reading all of the file before them; None if it has none."""
    with path.open("rb") as stream:
        for position, _ in read_pages(path, unit.source, unit.language, 0):
            if position >= unit.begin and begins_record(stream, position):
                return position if unit.end is None or position < unit.end else None
    return None


def first_member(stream: IO[bytes], unit: Unit) -> int | None:
    """Where between `begin` and `end` a gzip member seems to begin that holds a WARC record."""
    at = unit.begin
    while unit.end is None or at < unit.end:
        stream.seek(at)
        data = stream.read(CHUNK_BYTES + len(MEMBER) - 1)
        found = data.find(MEMBER)
        while found >= 0:
            if unit.end is not None and at + found >= unit.end:
                return None
            if begins_record(stream, at + found):
                return at + found
            found = data.find(MEMBER, found + 1)
        if len(data) < CHUNK_BYTES:
            return None
        at += CHUNK_BYTES
    return None


def begins_record(stream: IO[bytes], position: int) -> bool:
    """Whether a gzip member begins there whose first bytes are those of a WARC record."""
    stream.seek(position)
    data = stream.read(HEADER_BYTES)
    if not data.startswith(MEMBER):
        return False
    try:
        return zlib.decompressobj(wbits=31).decompress(data, 5) == b"WARC/"
    except zlib.error:
        return False
