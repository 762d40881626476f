"""Collects files of a Hugging Face repository, and the commit that its revision resolved to."""

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
    measure,
    own_files,
    pages_among,
)


class Repository(SourceFields):
    """Files of a repository, by patterns, at a branch, tag or (best) commit."""

    kind: Literal["huggingface"]
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(min_length=1)
    files: list[str] = Field(min_length=1)

    def fetched(self, shelf: Shelf, *, dataset: bool) -> Fetched:
        """The files that match, and the commit that `revision` meant."""
        folder = shelf.place()
        hub = shelf.context.hub
        commit = hub.fetch(self.repository, self.revision, self.files, folder, dataset=dataset)
        kind = "datasets/" if dataset else ""
        uri = f"hf://{kind}{self.repository}@{commit}"
        return Fetched(folder, own_files(folder, "."), uri, commit, measure(folder))


class HuggingFaceSource(Repository, TextSource):
    """WARC files, JSON lines or pages of a dataset."""

    def fetch(self, shelf: Shelf) -> Fetched:
        """Raises `SourceMissing` if the Hub refuses, or nothing matches."""
        found = self.fetched(shelf, dataset=True)
        files = pages_among(found.files, PAGE_SUFFIXES, found.uri)
        return Fetched(found.folder, files, found.uri, found.version, found.archive)


class HuggingFaceModel(Repository, ModelSource):
    """A model's files; they keep their names."""

    def model_summary(self) -> ModelSummary:
        """The summary of the repository, if it is listed in `known_models`."""
        return known([self.repository])

    def asked(self) -> list[str]:
        """Its patterns."""
        return self.files

    def fetch(self, shelf: Shelf) -> Fetched:
        """Raises `SourceMissing` if the Hub refuses, or nothing matches."""
        return self.fetched(shelf, dataset=False)
