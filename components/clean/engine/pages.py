"""A WARC file in, its pages out."""

from collections.abc import Iterator
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from components.clean.page import Page
from components.errors import InputError
from components.formats.limits import PAGE_BYTES
from components.formats.manifest import CollectedSource, warc_path

SKIPPED_BYTES = 1 << 20
CONTENT_TOO_LARGE = 413
"""HTTP's status (RFC 9110, 15.5.14)."""
PAGE_TYPES = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion


def read_pages(path: Path, source: int, language: str, start: int) -> Iterator[tuple[int, Page]]:
    """Every page from byte `start` on, where a record must begin, with the byte at which the page begins.

    In a gzip member that several records share, that byte is only near. Raises `InputError` if the file is damaged.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            begun = stream if start else path  # with a path fastwarc reads by itself
            for record in ArchiveIterator(begun, record_types=PAGE_TYPES, auto_decode="all", fsspec_args=False):
                yield record.stream_pos, page_of(record, source, language)
    except OSError as error:
        message = f"{path} is not a readable WARC file: {error}. Run `dvc repro --force collect`, which writes it anew."
        raise InputError(message) from error


def check_count(folder: Path, source: CollectedSource, found: int) -> None:
    """Raises `InputError` unless there are as many pages as the manifest says."""
    if found != source.pages:
        message = f"{warc_path(folder, source.name)} holds {found:,} pages, but the manifest says {source.pages:,}."
        raise InputError(f"{message} Run `dvc repro --force collect`, which writes both anew.")


def page_of(record: WarcRecord, source: int, language: str) -> Page:
    """The record's address, type and bytes; a record that is not an HTTP response counts as status 200.

    One that is larger than a page may be has no bytes and status 413, so that a cleaner rejects it as no text response.
    """
    headers = record.http_headers if record.is_http else record.headers
    status = (record.http_headers.status_code or 0) if record.is_http else 200
    body = read_body(record)
    if body is None:
        body, status = b"", CONTENT_TOO_LARGE
    return Page(
        source=source,
        language=language,
        uri=record.headers.get("WARC-Target-URI") or "",
        crawled=record.record_type != WarcRecordType.resource,
        content_type=headers.get("Content-Type") or "",
        status=status,
        body=body,
    )


def read_body(record: WarcRecord) -> bytes | None:
    """The record's decoded bytes; None if they are more than a page has. Memory holds no more than that in either case."""
    body: bytes = record.reader.read(PAGE_BYTES + 1)
    if len(body) <= PAGE_BYTES:
        return body
    while record.reader.read(SKIPPED_BYTES):  # the next record is found only from the end of this one
        pass
    return None
