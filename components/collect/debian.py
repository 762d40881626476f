"""Collects the HTML pages of a Debian documentation package."""

from typing import Literal

from pydantic import Field

from components.collect.source import HTML_SUFFIXES, Fetched, Shelf, TextSource, measure, own_files, pages_among


class DebianSource(TextSource):
    """HTML pages below `path` of a package; `release` is a version, or "*" for the one that apt offers.

    Pages may be gzip-compressed. Nothing is installed.
    """

    kind: Literal["debian"]
    package: str = Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")
    release: str = Field(pattern=r"^(\*|[0-9][A-Za-z0-9.+:~-]*)$")
    path: str = Field(min_length=1)

    def fetch(self, shelf: Shelf) -> Fetched:
        """Raises `SourceMissing` if apt does not have the package, or the package does not have the path."""
        archive = shelf.context.debian.fetch(self.package, self.release)
        folder = shelf.open(shelf.context.debian, archive)
        version = archive.name.split("_")[1].replace("%3a", ":")
        files = pages_among(own_files(folder, self.path), HTML_SUFFIXES, self.path)
        return Fetched(folder, files, f"deb:{self.package}/{version}", version, measure(archive))
