"""WARC files in, their pages out, in batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from components.errors import InputError
from components.formats.manifest import CollectedSource, Manifest, warc_path

PAGE_TYPES = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion
BATCH = 16


@dataclass(frozen=True)
class Page:
    """One page as it was collected: `source` is its place in the manifest, `language` what the manifest claims.

    `crawled`: it was found, not chosen (every record but a `resource`).
    """

    source: int
    language: str
    uri: str
    crawled: bool
    content_type: str
    status: int
    body: bytes


def read_batches(folder: Path, manifest: Manifest) -> Iterator[list[Page]]:
    """Every page below `folder` once, in the manifest's order. Raises `InputError` where a WARC file is damaged."""
    pages = read_pages(folder, manifest.sources)
    while batch := list(islice(pages, BATCH)):
        yield batch


def read_pages(folder: Path, sources: Iterable[CollectedSource]) -> Iterator[Page]:
    """The pages of each source. Raises `InputError` unless there are as many as the manifest says."""
    for number, source in enumerate(sources):
        path = warc_path(folder, source.name)
        found = 0
        try:
            for record in ArchiveIterator(path, record_types=PAGE_TYPES, auto_decode="all", fsspec_args=False):
                found += 1
                yield page_of(record, number, source.language)
        except OSError as error:
            message = f"{path} is no readable WARC file: {error}. Run `dvc repro --force collect`, which writes it anew."
            raise InputError(message) from error
        if found != source.pages:
            message = f"{path} holds {found:,} pages where the manifest says {source.pages:,}."
            raise InputError(f"{message} Run `dvc repro --force collect`, which writes both anew.")


def page_of(record: WarcRecord, source: int, language: str) -> Page:
    """The record's address, type and bytes; a record that is no HTTP response counts as status 200."""
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
