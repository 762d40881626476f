"""Writes the files of a source as WARC records: the same files give the same bytes.

HTML becomes a `response` with HTTP headers, as if crawled. A line of JSON and any other text become a `resource`: whoever
gave them chose them, so the cleaner does not ask whether their host is refused. WARC files are copied as they are, because
several WARC files joined are a WARC file again.
"""

import gzip
import io
import shutil
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from fastwarc.warc import ArchiveIterator, WarcRecordType
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from components.collect.source import HTML_SUFFIXES, Fetched
from components.errors import SourceMissing
from components.formats.disk import naming
from components.formats.json_text import parse_json
from components.formats.limits import PAGE_BYTES
from components.formats.names import header_uri, printable

WARC_DATE = "2000-01-01T00:00:00Z"
"""Every record's date: packages do not say when a page was made; the time of fetching would change the bytes."""

PAGE_TYPES = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion


@dataclass(frozen=True)
class CollectedPage:
    """What becomes one record: its kind, address, media type and bytes."""

    record: str
    uri: str
    media_type: str
    body: bytes


def write_warc(path: Path, fetched: Fetched, licence: str) -> int:
    """Writes the pages of all files, in their order, to a gzipped WARC file; returns how many. Raises `SourceMissing`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        writer.write_record(information(writer, fetched, licence))
        pages = sum(write_file(writer, stream, fetched, file) for file in fetched.files)
    if not pages:
        raise SourceMissing(f"the {len(fetched.files):,} files of {fetched.uri} hold no page at all. Correct its path.")
    return pages


def information(writer: Any, fetched: Fetched, licence: str) -> Any:
    """The file's own record: where the pages came from, and under which licence."""
    part = header_uri(fetched.uri)
    fields = {"software": "martlet", "format": "WARC File Format 1.0", "isPartOf": part, "licence": printable(licence)}
    text = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
    headers = stamp("warcinfo", fetched.uri) | {"Content-Type": "application/warc-fields"}
    return writer.create_warc_record("", "warcinfo", payload=io.BytesIO(text), length=len(text),
                                     warc_headers_dict=headers)


def write_file(writer: Any, stream: IO[bytes], fetched: Fetched, file: Path) -> int:
    """Writes what one file holds; returns the number of its pages."""
    if file.name.endswith((".warc", ".warc.gz")):
        return copy_warc(stream, file)
    count = 0
    for page in pages_of(file, header_uri(f"{fetched.uri}/{file.relative_to(fetched.folder).as_posix()}")):
        writer.write_record(record(writer, page))
        count += 1
    return count


def pages_of(file: Path, uri: str) -> Iterator[CollectedPage]:
    """The pages of a file that is not a WARC file."""
    if file.name.endswith((".jsonl", ".jsonl.gz")):
        yield from documents_of(file, uri)
    elif file.name.endswith(HTML_SUFFIXES):
        media_type = "application/xhtml+xml" if ".xhtml" in file.name else "text/html"
        yield CollectedPage("response", uri, media_type, read_bytes(file))
    else:
        yield CollectedPage("resource", uri, "text/plain; charset=utf-8", read_bytes(file))


def documents_of(file: Path, uri: str) -> Iterator[CollectedPage]:
    """One page per line: its `text`, at its `url` if it has one. Raises `SourceMissing` for a line without text."""
    with opened(file) as stream:
        for number, line in enumerate(lines_of(stream, file), 1):
            try:
                value = parse_json(line)
                text = value["text"].encode()
            except (ValueError, TypeError, KeyError, AttributeError):
                raise SourceMissing(f"{file.name}, line {number}: expected a JSON object with a `text`, "
                                    f"found {line[:60]!r}. Correct the file, or leave it out.") from None
            url = value.get("url")
            address = header_uri(url) if isinstance(url, str) and url else f"{uri}#{number}"
            yield CollectedPage("resource", address, "text/plain; charset=utf-8", text)


def copy_warc(stream: IO[bytes], file: Path) -> int:
    """Appends a WARC file to `stream`; returns the number of its pages. Raises `SourceMissing` if the file is broken."""
    try:
        count = sum(1 for _ in ArchiveIterator(file, record_types=PAGE_TYPES, parse_http=False, fsspec_args=False))
    except OSError as error:
        raise SourceMissing(f"{file.name} is not a readable WARC file: {error}. Fetch it again.") from None
    if not count:
        raise SourceMissing(f"{file.name} holds no page: no response, resource or conversion record. Leave it out.")
    with file.open("rb") as source:
        if file.name.endswith(".gz"):
            shutil.copyfileobj(source, stream)
        else:
            with gzip.GzipFile(fileobj=stream, mode="wb", filename="", mtime=0) as packed:
                shutil.copyfileobj(source, packed)
    return count


def record(writer: Any, page: CollectedPage) -> Any:
    """The WARC record of a page."""
    http = None
    headers = stamp(page.record, page.uri)
    if page.record == "response":
        lines = [("Content-Type", page.media_type), ("Content-Length", str(len(page.body)))]
        http = StatusAndHeaders("200 OK", lines, protocol="HTTP/1.1")
    else:
        headers["Content-Type"] = page.media_type
    return writer.create_warc_record(page.uri, page.record, payload=io.BytesIO(page.body), length=len(page.body),
                                     http_headers=http, warc_headers_dict=headers)


def stamp(kind: str, uri: str) -> dict[str, str]:
    """Date and id: functions of the address, so that a second run writes the same bytes."""
    return {"WARC-Record-ID": f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{kind} {uri}')}>", "WARC-Date": WARC_DATE}


def read_bytes(file: Path) -> bytes:
    """The file's bytes, decompressed. Raises `SourceMissing` if its compression is broken, or it is too large for a page."""
    with opened(file) as stream:
        return within_page(stream.read(PAGE_BYTES + 1), file.name)


def lines_of(stream: IO[bytes], file: Path) -> Iterator[bytes]:
    """The lines of a file. Raises `SourceMissing` for one that is too large for a page."""
    number = 0
    while line := stream.readline(PAGE_BYTES + 1):
        number += 1
        yield within_page(line, f"{file.name}, line {number},")


def within_page(body: bytes, where: str) -> bytes:
    """The bytes. Raises `SourceMissing` if a page has no room for them."""
    if len(body) > PAGE_BYTES:
        raise SourceMissing(f"{where} holds more than the {PAGE_BYTES:,} bytes of a page, unpacked. "
                            "Split it into JSON lines, one a document, or leave it out.")
    return body


@contextmanager
def opened(file: Path) -> Iterator[IO[bytes]]:
    """The file's bytes as a stream, decompressed if its name ends in .gz. Raises `SourceMissing` if that is broken."""
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
            yield cast(IO[bytes], stream)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceMissing(f"{file.name} is not a whole gzip file: {error}. Fetch it again.") from None
