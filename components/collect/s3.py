"""Collects the objects below a prefix of an S3 bucket."""

from typing import Literal

from pydantic import Field

from components.collect.source import PAGE_SUFFIXES, Fetched, Shelf, TextSource, measure, own_files, pages_among


class S3Source(TextSource):
    """WARC files, JSON lines or pages below a prefix; the version is a digest of the objects' ETags."""

    kind: Literal["s3"]
    bucket: str = Field(min_length=3)
    prefix: str

    def fetch(self, shelf: Shelf) -> Fetched:
        """Raises `SourceMissing` if the bucket refuses, or holds no page below the prefix."""
        folder = shelf.place()
        version = shelf.context.objects.fetch(self.bucket, self.prefix, folder)
        uri = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        return Fetched(folder, pages_among(own_files(folder, "."), PAGE_SUFFIXES, uri), uri, version, measure(folder))
