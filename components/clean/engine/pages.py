"""A WARC file in, its pages out."""

from collections.abc import Iterator
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from components.clean.page import Page
from components.errors import InputError
from components.formats.manifest import CollectedSource, warc_path

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
    """The record's address, type and bytes; a record that is not an HTTP response counts as status 200."""
    headers = record.http_headers if record.is_http else record.headers
    status = (record.http_headers.status_code or 0) if record.is_http else 200
    return Page(
        source=source,
        language=language,
        uri=record.headers.get("WARC-Target-URI") or "",
        crawled=record.record_type != WarcRecordType.resource,
        content_type=headers.get("Content-Type") or "",
        status=status,
        body=record.reader.read(),
    )
