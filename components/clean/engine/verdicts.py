"""Writes and reads a unit's verdicts: one file with the kept texts, one after the other, and one with a line for each.

The first line of `<unit>.jsonl` is about all of the unit's pages; the file of texts is written before it.
"""

import json
import os
import sys
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Self

from components.base.fields import Fields
from components.clean.engine.request import FilterRequest
from components.clean.page import Verdict
from components.formats.disk import naming
from components.formats.files import write_text

OPEN_FILES = 256


@dataclass
class Borders:
    """Where a unit's first page begins, and where the first page after the unit begins; None if there is none."""

    first: int | None = None
    after: int | None = None


class Head(Fields):
    """What is known of a unit as a whole; positions are bytes in its WARC file."""

    first: int | None
    """Where its first page begins."""
    after: int | None
    """Where the first page after the unit begins."""
    pages: int
    kept: int
    rejected: dict[str, int]
    """Pages by the rule that rejected them."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A document whose text lies in its unit's file."""

    number: int
    """In the order of the pages."""
    source: int
    uri: str
    language: str
    unit: int
    offset: int
    length: int
    characters: int
    digest: bytes


def write_verdicts(request: FilterRequest, unit: int, verdicts: Iterable[Verdict], borders: Borders) -> None:
    """Writes both files; they are whole or absent. `borders` is read when there are no more verdicts."""
    texts, rejected, lines, offset = request.texts(unit), Counter[str](), [], 0
    partial = texts.with_name(f".{texts.name}.{os.getpid()}.partial")
    with naming(partial), partial.open("wb") as stream:
        for verdict in verdicts:
            if verdict.rule:
                rejected[verdict.rule] += 1
                continue
            text = verdict.text.encode()
            stream.write(text)
            lines.append(json.dumps([
                verdict.uri, verdict.language, offset, len(text), len(verdict.text),
                b64encode(verdict.digest).decode(), b64encode(verdict.bands).decode(),
            ]))  # fmt: skip
            offset += len(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(texts)
    head = Head(
        first=borders.first, after=borders.after, pages=rejected.total() + len(lines), kept=len(lines),
        rejected=dict(rejected),
    )  # fmt: skip
    write_text(request.rows(unit), "\n".join([head.model_dump_json(), *lines]) + "\n")


def read_head(request: FilterRequest, unit: int) -> Head:
    """The head of a filtered unit."""
    with request.rows(unit).open(encoding="utf-8") as lines:
        return Head.model_validate_json(next(lines))


def read_kept(request: FilterRequest, unit: int, source: int, before: int) -> Iterator[tuple[Kept, bytes]]:
    """The kept pages of a filtered unit, in order, with their bands; `before` were kept before them."""
    with request.rows(unit).open(encoding="utf-8") as lines:
        next(lines)
        for number, line in enumerate(lines, before):
            uri, language, offset, length, characters, digest, bands = json.loads(line)
            document = Kept(number, source, uri, sys.intern(language), unit, offset, length, characters, b64decode(digest))
            yield document, b64decode(bands)


class Texts:
    """The texts of kept documents, wherever they lie; some files are held open."""

    def __init__(self, request: FilterRequest) -> None:
        self.request = request
        self.streams: dict[int, IO[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, document: Kept) -> str:
        """A document's text."""
        if document.unit not in self.streams:
            if len(self.streams) >= OPEN_FILES:
                self.close()
            self.streams[document.unit] = self.request.texts(document.unit).open("rb")
        stream = self.streams[document.unit]
        stream.seek(document.offset)
        return stream.read(document.length).decode()

    def close(self) -> None:
        """Closes all files."""
        for stream in self.streams.values():
            stream.close()
        self.streams.clear()
