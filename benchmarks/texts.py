"""Real text for the benchmarks: Japanese and English manuals of Debian, or the reader's own corpus.

With `MARTLET_DATA=folder`, `folder/aozora/modern.jsonl.gz` (one JSON object a line: `id`, `author`, `text`) takes the place of
the Japanese manuals. All works of an author, or single pages of manuals, are held out by the hash of the name.
"""

import gzip
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from components.base.ports import PackageArchive
from components.data.documents import Document, document_id, write_documents
from components.recipes import read_parameters
from infra.downloads.debian import DebianPackages

PACKAGES = Path(".build/packages")
JAPANESE = (
    "debian-reference-ja", "developers-reference-ja", "debian-faq-ja", "maint-guide-ja", "lilypond-doc-html-ja",
    "libreoffice-help-ja",
)
ENGLISH = ("debian-reference-en", "developers-reference")
HELD_OUT = 20
"""How many of 256 hash values are held out."""


@dataclass(frozen=True)
class Texts:
    """Training and held-out documents of one language, and where they are from."""

    language: str
    source: str
    train: list[str]
    heldout: list[str]

    @property
    def characters(self) -> int:
        """Characters of the training documents."""
        return sum(map(len, self.train))


def japanese() -> Texts:
    """The corpus of `MARTLET_DATA`, or the Japanese manuals."""
    folder = os.environ.get("MARTLET_DATA")
    return aozora(Path(folder) / "aozora/modern.jsonl.gz") if folder else manuals("ja", JAPANESE)


def english() -> Texts:
    """English manuals."""
    return manuals("en", ENGLISH)


def aozora(path: Path) -> Texts:
    """Works of Aozora Bunko; all works of an author are either trained on or held out."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        works = [json.loads(line) for line in lines]
    return divided("ja", "aozora", [(work["author"], work["text"]) for work in works])


def smoke() -> Texts:
    """The Japanese pages that `martlet run smoke` collects."""
    sources = read_parameters(Path("recipes/smoke.yaml")).values["collect"]["sources"]
    japanese = [source for source in sources if source["language"] == "ja"]
    found = [page for source in japanese for page in pages("ja", source["package"], source["path"])]
    return divided("ja", "the smoke's manuals", found)


def manuals(language: str, packages: tuple[str, ...]) -> Texts:
    """The HTML pages of Debian packages."""
    return divided(language, "Debian manuals", [page for package in packages for page in pages(language, package)])


def pages(language: str, package: str, under: str = "") -> list[tuple[str, str]]:
    """Path in the package and plain text of each HTML page, in order; Japanese pages only if they hold kana."""
    from resiliparse.extract.html2text import extract_plain_text

    folder, found = unpacked(DebianPackages(PACKAGES), package, "*"), []
    for page in sorted(path for path in (folder / under).rglob("*.html") if path.is_file()):
        text = extract_plain_text(page.read_text(encoding="utf-8", errors="replace"), main_content=True)
        if language != "ja" or sum("ぁ" <= char <= "ヿ" for char in text) > 0.05 * len(text):
            found.append((str(page.relative_to(folder)), text))
    return found


def unpacked(service: PackageArchive, package: str, version: str) -> Path:
    """The folder with the package's files, unpacked once; it is whole even if a benchmark was interrupted."""
    folder = PACKAGES / "unpacked" / package
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as room:
            service.unpack(service.fetch(package, version), Path(room) / package)
            (Path(room) / package).rename(folder)
    return folder


def divided(language: str, source: str, named: list[tuple[str, str]]) -> Texts:
    """Divides documents into training and held-out ones by the hash of their name."""
    sides: tuple[list[str], list[str]] = ([], [])
    for name, text in named:
        sides[hashlib.sha256(name.encode()).digest()[0] < HELD_OUT].append(text)
    return Texts(language, source, *sides)


def write_clean(folder: Path, *texts: Texts) -> Path:
    """Writes the texts as the `clean` stage does; returns the folder."""
    files: dict[str, list[Document]] = {}
    for each in texts:
        key = "aozora" if each.source == "aozora" else "manuals"
        for name, part in ((f"train/{each.language}/{key}", each.train), (f"heldout/{each.language}", each.heldout)):
            documents = files.setdefault(name, [])
            uris = (f"{name}:{number}" for number in range(len(documents), len(documents) + len(part)))
            documents += (
                Document(id=document_id(key, uri), source=key, language=each.language, uri=uri, text=text)
                for uri, text in zip(uris, part, strict=True)
            )
    for name, documents in files.items():
        write_documents(folder / f"{name}.jsonl.gz", documents)
    return folder
