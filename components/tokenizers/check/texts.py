"""Reads the domains that a check measures on: named groups of documents, from files, folders or the package's samples."""

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from components.errors import EmptyCorpus, InputError
from components.formats.json_text import parse_json

SAMPLES = Path(__file__).parent / "samples"
SAMPLE_NAMES = ("japanese", "japanese-technical", "english", "code")
PACKED = (".jsonl", ".jsonl.gz")
PLAIN = {
    ".txt", ".md", ".rst", ".tex", ".html", ".csv", ".py", ".c", ".h", ".cc", ".cpp", ".hpp", ".java", ".js", ".ts", ".go",
    ".rs", ".rb", ".sh", ".sql", ".json", ".yaml", ".yml", ".toml", ".xml", ".css",
}
"""The suffixes that are read from a folder; a file that is named itself may have any suffix."""


def sample_domains() -> dict[str, list[str]]:
    """The small texts that come with the package, so that the command works anywhere."""
    return {name: [(SAMPLES / f"{name}.txt").read_text(encoding="utf-8")] for name in SAMPLE_NAMES}


def read_domains(named: Mapping[str, Path], limit: int) -> tuple[dict[str, list[str]], list[str]]:
    """The documents of each domain, at most `limit` characters of each, and notes on what was left out.

    A `clean` stage's output folder becomes one domain for each of its held-out languages. Raises `InputError` if a path
    cannot be read, `EmptyCorpus` if there is no text.
    """
    domains: dict[str, list[str]] = {}
    notes: list[str] = []
    for name, path in named.items():
        for domain, files in files_of(name, path, notes).items():
            documents = list(limited((text for file in files for text in read_file(file)), limit))
            if not any(map(str.strip, documents)):
                raise EmptyCorpus(f"{path} holds no text for the domain {domain!r}. Name a file with text in it.")
            domains[domain] = documents
            if sum(map(len, documents)) == limit:
                notes.append(f"{domain}: only the first {limit:,} characters were read (--limit).")
    return domains, notes


def files_of(name: str, path: Path, notes: list[str]) -> dict[str, list[Path]]:
    """The files of each domain that the path stands for."""
    if not path.exists():
        raise InputError(f"{path} does not exist (--text {name}=…). Name a file or a folder of text.")
    if path.is_file():
        return {name: [path]}
    if heldout := sorted((path / "heldout").glob("*.jsonl.gz")):
        return {f"{name}-{file.name.removesuffix('.jsonl.gz')}": [file] for file in heldout}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    readable = [
        file for file in files
        if (holds_documents(file) if file.name.endswith(PACKED) else file.suffix.lower() in PLAIN)
    ]
    if not readable:
        others = f"{len(files):,} files of other kinds"
        raise EmptyCorpus(f"{path} holds no text file ({others}). Name .txt, .jsonl or source files.")
    if len(readable) < len(files):
        notes.append(f"{name}: {len(files) - len(readable):,} files of other kinds were left out.")
    return {name: readable}


def holds_documents(path: Path) -> bool:
    """Whether the first of the file's JSON lines has a `text`. Raises `InputError` if the file cannot be read."""
    with opened(path) as lines:
        first = next((line for line in lines if line.strip()), "")
    return found_text(first) is not None


def read_file(path: Path) -> Iterator[str]:
    """The documents of one file: the `text` of each line if it holds JSON lines, else the whole file."""
    with opened(path) as lines:
        if not path.name.endswith(PACKED):
            yield lines.read()
            return
        yield from (text_of(line, path, number) for number, line in enumerate(lines, 1) if line.strip())


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The file's text, unpacked. Raises `InputError` if the file is not text, or is cut off."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
            yield cast(TextIO, stream)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start:,}). Convert it, or name another file.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}). Name another file, or mend this one.") from None


def text_of(line: str, path: Path, number: int) -> str:
    """The `text` of one JSON line. Raises `InputError` if it has none."""
    text = found_text(line)
    if text is None:
        raise InputError(f"{path}, line {number:,}: a JSON object with a `text` was expected. Name a file of such lines.")
    return text


def found_text(line: str) -> str | None:
    """The `text` of a JSON line; None if it has none."""
    try:
        text = parse_json(line)["text"]
    except (ValueError, KeyError, TypeError):
        return None
    return text if isinstance(text, str) else None


def limited(documents: Iterator[str], limit: int) -> Iterator[str]:
    """Documents up to `limit` characters; the last one is cut."""
    room = limit
    for document in documents:
        if not room:
            return
        yield document[:room]
        room -= min(room, len(document))


def whole(texts: Sequence[str]) -> list[str]:
    """The texts as UTF-8 can hold them: half of a surrogate pair, which JSON can spell, becomes a question mark."""
    return [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
