"""Documents as JSON lines, gzip-compressed without a timestamp: the same documents give the same bytes."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from components.errors import EmptyCorpus, InputError
from components.formats.disk import naming


class Document(BaseModel):
    """One clean document. `id` is stable: the SHA-256 (16 hex digits) of source and URI."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    source: str
    language: str
    uri: str
    text: str


def write_documents(path: Path, documents: Iterable[Document]) -> int:
    """Writes the documents in the order given; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with naming(path), path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed:
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="\n")
        for document in documents:
            text.write(document.model_dump_json() + "\n")
            count += 1
        text.flush()
        text.detach()
    return count


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of one file, in order. Raises `InputError` if a line is not a document, or the file is cut off."""
    number = 0
    try:
        with gzip.open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 (the messages state it)
                yield Document.model_validate_json(line)
    except ValidationError as error:
        raise InputError(f"{path}, line {number}: not a document ({error}). Run the stage that wrote it again.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read after line {number} ({error}): a whole gzip file of UTF-8 was expected. "
            "Run the stage that wrote it again."
        ) from None


def document_id(source: str, uri: str) -> str:
    """Sixteen hex digits that name a document in every later stage."""
    return hashlib.sha256(f"{source}\n{uri}".encode()).hexdigest()[:16]


def training_files(folder: Path, pattern: str) -> list[Path]:
    """The files of clean training text that match `<language>/<source>`, sorted. Raises `EmptyCorpus` if none does."""
    found = sorted((folder / "train").glob(f"{pattern}.jsonl.gz"))
    if not found:
        present = sorted(str(p.relative_to(folder / "train"))[: -len(".jsonl.gz")] for p in folder.glob("train/*/*.jsonl.gz"))
        raise EmptyCorpus(
            f"{folder / 'train'} holds no text that matches {pattern!r}; it holds: {', '.join(present) or 'nothing'}. "
            "Name one of these in params.yaml, or add a source to collect.sources."
        )
    return found


def heldout_file(folder: Path, language: str) -> Path:
    """The file of one language's held-out documents. Raises `EmptyCorpus` if there is none."""
    path = folder / "heldout" / f"{language}.jsonl.gz"
    if not path.exists():
        raise EmptyCorpus(f"{path} does not exist: no held-out {language!r} text. Raise clean.heldout_fraction.")
    return path


def first_texts(documents: Iterable[Document], characters: int) -> list[str]:
    """Texts of `characters` characters together, or of fewer if there are not as many: by document id, the last one cut.

    Ids are hashes, so the choice is spread over the sources and is the same on every machine.
    """
    chosen: list[str] = []
    left = characters
    for document in sorted(documents, key=lambda d: d.id):
        if left <= 0:
            break
        if text := document.text[:left]:
            chosen.append(text)
            left -= len(text)
    return chosen


def heldout_ids(folder: Path) -> frozenset[str]:
    """The ids of all held-out documents below a folder of clean text; some 100 bytes of memory each."""
    return frozenset(document.id for path in sorted(folder.glob("heldout/*.jsonl.gz")) for document in read_documents(path))
