"""Collects a file or folder of this machine, pinned by a digest, because a path does not say what it holds."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from components.base.model_summary import UNKNOWN_MODEL, ModelSummary
from components.collect.source import (
    PAGE_SUFFIXES,
    Fetched,
    ModelSource,
    Shelf,
    SourceFields,
    TextSource,
    measure,
    own_files,
    pages_among,
)
from components.errors import SourceMissing
from components.models.summary import read_model_summary


class LocalFiles(SourceFields):
    """A path and the SHA-256 of what it holds (of a folder: over its sorted names and digests)."""

    kind: Literal["local"]
    path: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    def checked(self) -> Fetched:
        """The files. Raises `SourceMissing` if the path is absent or holds something else."""
        path = Path(self.path).expanduser()
        if not path.exists():
            raise SourceMissing(f"{path} does not exist. Correct `path`, or put the files there.")
        found = measure(path)
        if found.sha256 != self.sha256:
            raise SourceMissing(f"{path} has changed: expected SHA-256 {self.sha256}, found {found.sha256}. "
                                f"If the change is meant, set its `sha256` to {found.sha256} in params.yaml.")
        folder = path if path.is_dir() else path.parent
        files = own_files(folder, "." if path.is_dir() else path.name)
        return Fetched(folder, files, f"local:{self.name}", self.sha256, found)


class LocalSource(LocalFiles, TextSource):
    """Pages, WARC files, JSON lines, plain text or source code in a file or a folder."""

    def fetch(self, shelf: Shelf) -> Fetched:  # noqa: ARG002  (nothing to unpack)
        """Raises `SourceMissing` if the path is absent, has changed or holds no page."""
        found = self.checked()
        files = pages_among(found.files, PAGE_SUFFIXES, self.path)
        return Fetched(found.folder, files, found.uri, found.version, found.archive)


class LocalModel(LocalFiles, ModelSource):
    """A model folder; its files keep their names."""

    def model_summary(self) -> ModelSummary:
        """As its config.json states it."""
        return read_model_summary(Path(self.path).expanduser()) or UNKNOWN_MODEL

    def asked(self) -> list[str]:
        """Its path."""
        return [self.path]

    def fetch(self, shelf: Shelf) -> Fetched:  # noqa: ARG002  (nothing to unpack)
        """Raises `SourceMissing` if the path is absent or has changed."""
        return self.checked()
