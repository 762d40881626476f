"""What every kind of source is: parameters that fetch its files into one folder, at a pinned version.

Importing this module must stay light, because the registry imports it.
"""

import fnmatch
import shutil
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, field_validator

from components.base.fields import Fields
from components.base.model_summary import UNKNOWN_MODEL, ModelSummary
from components.base.ports import Context, PackageArchive
from components.errors import SourceMissing
from components.formats.digests import digest_path
from components.formats.manifest import Bytes
from components.formats.names import printable

HTML_SUFFIXES = (".html", ".htm", ".xhtml", ".html.gz", ".htm.gz", ".xhtml.gz")
PAGE_SUFFIXES = (*HTML_SUFFIXES, ".warc", ".warc.gz", ".jsonl", ".jsonl.gz", ".txt", ".md", ".rst", ".py")


@dataclass(frozen=True)
class Fetched:
    """What a source gave: `files` below `folder`, sorted, and what it was when it was fetched."""

    folder: Path
    files: list[Path]
    uri: str
    version: str
    archive: Bytes


@dataclass
class Shelf:
    """A run's room for unpacked archives: each is unpacked once, however many sources are in it."""

    context: Context
    room: Path
    unpacked: dict[Path, Path] = field(default_factory=dict)

    def open(self, service: PackageArchive, archive: Path) -> Path:
        """The folder into which `archive` is unpacked."""
        if archive not in self.unpacked:
            folder = self.place()
            service.unpack(archive, folder)
            self.unpacked[archive] = folder
        return self.unpacked[archive]

    def place(self) -> Path:
        """A new empty folder."""
        folder = self.room / str(len(list(self.room.iterdir())))
        folder.mkdir()
        return folder


class SourceFields(Fields):
    """What text sources and model sources share."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    licence: str = Field(min_length=1)

    @field_validator("licence")
    @classmethod
    def is_one_line(cls, licence: str) -> str:
        """It becomes a line of a WARC file and of a model card."""
        if printable(licence) != licence:
            raise ValueError(f"'{printable(licence)}' holds a line end or another character that cannot be seen")
        return licence

    @abstractmethod
    def fetch(self, shelf: Shelf) -> Fetched:
        """Fetches the files, or takes them from a cache. Raises `SourceMissing` with the next step."""


class TextSource(SourceFields):
    """Pages in one language ("code": none), which the cleaner checks."""

    language: str = Field(pattern=r"^[a-z]{2,4}$")


class ModelSource(SourceFields):
    """The base model's files; see `targets` for their names below `model/`."""

    def model_summary(self) -> ModelSummary:
        """What is known of the model before it is fetched."""
        return UNKNOWN_MODEL

    @abstractmethod
    def asked(self) -> list[str]:
        """The names, patterns or paths of its files, as the parameters give them."""

    def targets(self, fetched: Fetched) -> dict[str, Path]:
        """Each file by its name below `model/`; by default, the name that the source gives it."""
        return {str(path.relative_to(fetched.folder)): path for path in fetched.files}


def measure(path: Path) -> Bytes:
    """Size and digest of a file or a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return Bytes(bytes=sum(p.stat().st_size for p in files), sha256=digest_path(path))


def own_files(root: Path, path: str) -> list[Path]:
    """The files at or below `path`, sorted; never one to which a link leads out of `root`.

    Raises `SourceMissing` if there is none.
    """
    start = root / path
    found = sorted(p for p in ([start] if start.is_file() else start.rglob("*")) if p.is_file())
    inside = [p for p in found if p.resolve().is_relative_to(root.resolve())]
    if not inside:
        raise SourceMissing(f"it holds no file at or below {path!r}. {neighbours(root, path)}Correct `path`.")
    return inside


def pages_among(files: Sequence[Path], suffixes: Sequence[str], where: str) -> list[Path]:
    """Those files that can be pages. Raises `SourceMissing` if none can."""
    pages = [p for p in files if p.name.endswith(tuple(suffixes))]
    if not pages:
        raise SourceMissing(f"{where} has {len(files):,} files but none of them ends in {', '.join(suffixes)}.")
    return pages


def matching(root: Path, patterns: Sequence[str]) -> list[Path]:
    """The files below `root` that match a pattern, sorted. Raises `SourceMissing` for a pattern without a file."""
    files = [(p, str(p.relative_to(root))) for p in own_files(root, ".")]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for _, name in files):
            raise SourceMissing(f"none of its {len(files):,} files matches {pattern!r}; the first is {files[0][1]}. "
                                "Correct `files`.")
    return [p for p, name in files if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def neighbours(root: Path, path: str) -> str:
    """What stands at the place where `path` leaves the tree: the hint that mends most typing errors."""
    here = root
    for part in Path(path).parts:
        if part == ".." or not (here / part).is_dir():
            break
        here /= part
    names = sorted(p.name for p in here.iterdir())[:8] if here.is_dir() else []
    return f"In {str(here.relative_to(root))!r} there are: {', '.join(names)}. " if names else ""


def copy_files(targets: dict[str, Path], folder: Path) -> dict[str, Bytes]:
    """Copies files to their names below `folder`; returns their sizes and digests, by name. Raises `SourceMissing`."""
    for name, path in sorted(targets.items()):
        target = folder / name
        if printable(name) != name:
            raise SourceMissing(f"'{printable(name)}' is no name for a model's file: it holds a character that cannot be seen. "
                                "Rename it, or correct `files`.")
        if not target.resolve().is_relative_to(folder.resolve()):
            raise SourceMissing(f"{name!r} leads out of the model's folder. Correct `files`.")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return {name: measure(folder / name) for name in sorted(targets)}
