"""What was collected: for every source its address, resolved version, digests, licence and language, in one JSON file.

The order of the sources is the order of `params.yaml`, and decides which of two duplicates survives.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from components.errors import InputError
from components.formats.files import write_text

NAME = "manifest.json"


class Entry(BaseModel):
    """Base of every part: frozen, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Bytes(Entry):
    """Size and SHA-256 of a file, or of a folder (over its sorted names and digests)."""

    bytes: int
    sha256: str


class CollectedSource(Entry):
    """One source of text: `archive` is what was fetched, `warc` the pages that were made of it."""

    name: str
    kind: str
    uri: str
    version: str
    licence: str
    language: str
    pages: int
    archive: Bytes
    warc: Bytes


class CollectedModel(Entry):
    """The base model: `files` are those below `model/`, by name."""

    name: str
    kind: str
    uri: str
    version: str
    licence: str
    archive: Bytes
    files: dict[str, Bytes]


class Manifest(Entry):
    """Everything that `collect` fetched."""

    sources: list[CollectedSource]
    model: CollectedModel

    @property
    def pages(self) -> int:
        """Pages of all sources."""
        return sum(source.pages for source in self.sources)


def warc_path(folder: Path, source: str) -> Path:
    """Where the pages of a source lie below the output of `collect`."""
    return folder / "pages" / f"{source}.warc.gz"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `manifest.json` below `folder`."""
    write_text(folder / NAME, manifest.model_dump_json(indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest below `folder`. Raises `InputError` if it is absent or is not a manifest."""
    path = folder / NAME
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist. Run `dvc repro collect`, which writes it.") from None
    except ValidationError as error:
        message = f"{path} is not a manifest: {error}. Run `dvc repro --force collect`, which writes it anew."
        raise InputError(message) from None
