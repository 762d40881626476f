"""Judged pages in, one of every set of duplicates written, with a count for every page, out.

Duplicates are decided on in one fixed order: source in the manifest, URI, place in the file. Memory holds some 500 bytes a
document.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from components.clean.minhash import repeated
from components.errors import EmptyCorpus
from components.formats.documents import Document, document_id, write_documents
from components.formats.manifest import Manifest


@dataclass(frozen=True)
class Kept:
    """A document whose text lies in the spool."""

    source: int
    uri: str
    language: str
    offset: int
    length: int
    characters: int
    digest: bytes
    bands: bytes


@dataclass
class Tally:
    """Every page once: by source, and there by the rule that rejected it."""

    rules: list[str]
    rejected: dict[int, Counter[str]] = field(default_factory=dict)
    pages: Counter[int] = field(default_factory=Counter)

    def reject(self, source: int, rule: str) -> None:
        """Counts a rejected page."""
        self.rejected.setdefault(source, Counter())[rule] += 1

    def by_rule(self, sources: Iterable[int]) -> dict[str, int]:
        """Rejected pages of these sources, by rule, in the order in which the rules are asked."""
        total: Counter[str] = sum((self.rejected.get(source, Counter()) for source in sources), Counter())
        return {rule: total[rule] for rule in self.rules}


def without_duplicates(kept: list[Kept], tally: Tally) -> list[Kept]:
    """Of every set of duplicates the first; a cleaner that does not look for them leaves `digest` and `bands` empty."""
    first: dict[bytes, Kept] = {}
    for document in kept:
        if document.digest and first.setdefault(document.digest, document) is not document:
            tally.reject(document.source, "exact_duplicate")
    kept = [document for document in kept if not document.digest or first[document.digest] is document]
    if not kept or not kept[0].bands:
        return kept
    columns = np.frombuffer(b"".join(document.bands for document in kept), dtype="<u8").reshape(len(kept), -1)
    near = repeated(columns)
    for document in (document for document, duplicate in zip(kept, near, strict=True) if duplicate):
        tally.reject(document.source, "near_duplicate")
    return [document for document, duplicate in zip(kept, near, strict=True) if not duplicate]


def write_corpus(
    kept: list[Kept], manifest: Manifest, fraction: float, spool: IO[bytes], output: Path
) -> dict[str, int]:
    """Writes a file a language and source, and the held-out file of each language; returns the latter's counts."""
    names = [source.name for source in manifest.sources]
    held = {k.offset for k in kept if is_held_out(document_id(names[k.source], k.uri), fraction)}
    training = Counter((k.language, k.source) for k in kept if k.offset not in held)
    for language, source in sorted(training):
        chosen = [k for k in kept if (k.language, k.source) == (language, source) and k.offset not in held]
        write_documents(output / "train" / language / f"{names[source]}.jsonl.gz", documents(chosen, names, spool))
    counted = {}
    for language in sorted({k.language for k in kept}):
        chosen = [k for k in kept if k.language == language and k.offset in held]
        if chosen:
            path = output / "heldout" / f"{language}.jsonl.gz"
            counted[language] = write_documents(path, documents(chosen, names, spool))
    return counted


def documents(kept: Iterable[Kept], names: list[str], spool: IO[bytes]) -> Iterator[Document]:
    """The documents, their texts read back from the spool."""
    for item in kept:
        spool.seek(item.offset)
        name = names[item.source]
        yield Document(
            id=document_id(name, item.uri), source=name, language=item.language, uri=item.uri,
            text=spool.read(item.length).decode(),
        )


def is_held_out(identity: str, fraction: float) -> bool:
    """Whether the document is kept from training: decided by its id, so that it stays where it is as sources are added."""
    return int(identity, 16) < fraction * 16**16


def characters_by_language(kept: Iterable[Kept]) -> dict[str, int]:
    """Characters of the documents, by language."""
    total: Counter[str] = Counter()
    for document in kept:
        total[document.language] += document.characters
    return dict(sorted(total.items()))


def counts(manifest: Manifest, tally: Tally, kept: list[Kept], heldout: dict[str, int]) -> dict[str, object]:
    """What `counts.json` says: the whole, each source, each language."""
    by_source = {
        source.name: {
            "pages": tally.pages[number],
            "kept": sum(1 for k in kept if k.source == number),
            "characters": characters_by_language(k for k in kept if k.source == number),
            "rejected": {rule: count for rule, count in tally.by_rule([number]).items() if count},
        }
        for number, source in enumerate(manifest.sources)
    }
    languages = Counter(k.language for k in kept)
    characters = characters_by_language(kept)
    return {
        "pages": tally.pages.total(),
        "kept": len(kept),
        "rejected": tally.by_rule(tally.pages),
        "sources": by_source,
        "languages": {
            language: {"documents": languages[language], "characters": characters[language],
                       "heldout_documents": heldout.get(language, 0)}
            for language in sorted(languages)
        },
    }


def nothing_left(tally: Tally, sources: Path) -> EmptyCorpus:
    """The error where no page passed, naming the rule that took most."""
    rejected = tally.by_rule(tally.pages)
    worst = max(rejected, key=lambda rule: rejected[rule])
    return EmptyCorpus(
        f"nothing is left of the {tally.pages.total():,} pages of {sources}: {worst} rejected {rejected[worst]:,}. "
        f"Loosen clean's {worst}, or collect other sources."
    )
