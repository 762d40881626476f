"""Merges the verdicts of all units: writes one of every set of duplicates, and counts every page.

Duplicates are decided on in one fixed order: source in the manifest, URI, place in the file. Memory holds some 900 bytes per
document. After a stop at any moment, the merge resumes with the output files that are not written yet.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

import numpy as np

from components.clean.engine.filter_unit import filter_again
from components.clean.engine.pages import check_count
from components.clean.engine.progress import FilterProgress
from components.clean.engine.request import FilterRequest
from components.clean.engine.units import Unit, units_of
from components.clean.engine.verdicts import Head, Kept, Texts, read_head, read_kept
from components.clean.minhash import Bands, repeated
from components.clean.page import PageFilter
from components.clean.report import CleanReport
from components.data.documents import Document, document_id, write_documents
from components.errors import EmptyCorpus
from components.formats.files import write_json, write_text
from components.formats.manifest import Manifest

HELDOUT = "heldout/"
"""Where the held-out files lie below the output."""


@dataclass
class Tally:
    """Counts every page once: by source, and for each source by the rule that rejected the page."""

    rules: list[str]
    rejected: dict[int, Counter[str]] = field(default_factory=dict)
    pages: Counter[int] = field(default_factory=Counter)

    def add(self, source: int, head: Head) -> None:
        """Counts a unit's pages."""
        self.pages[source] += head.pages
        self.rejected.setdefault(source, Counter()).update(head.rejected)

    def reject(self, source: int, rule: str) -> None:
        """Counts a rejected page."""
        self.rejected.setdefault(source, Counter())[rule] += 1

    def by_rule(self, sources: Iterable[int]) -> dict[str, int]:
        """Rejected pages of these sources, by rule, in the order in which the rules are asked."""
        total: Counter[str] = sum((self.rejected.get(source, Counter()) for source in sources), Counter())
        return {rule: total[rule] for rule in self.rules}


def merge(request: FilterRequest, cleaner: PageFilter, manifest: Manifest, progress: FilterProgress) -> None:
    """Writes the result, and removes what it was made of. Raises `EmptyCorpus`, `InputError`, `Stopped`."""
    units = units_of(manifest)
    check_chain(request, cleaner, units, progress)
    tally = Tally(cleaner.rule_names())
    kept: list[Kept] = []
    bands = bytearray()
    for unit in units:
        progress.write(f"merging, {len(kept):,} documents read")
        tally.add(unit.source, progress.heads[unit.number])
        for document, hashes in read_kept(request, unit.number, unit.source, len(kept)):
            kept.append(document)
            bands += hashes
    for number, source in enumerate(manifest.sources):
        check_count(request.sources, source, tally.pages[number])
    columns = np.frombuffer(bands, dtype="<u8").reshape(len(kept), -1) if bands else None
    kept.sort(key=lambda k: (k.source, k.uri, k.number))
    kept = without_duplicates(kept, columns, tally, progress)
    if not kept:
        raise nothing_left(tally, request.sources)
    names = [source.name for source in manifest.sources]
    files = files_of(kept, names, cleaner.heldout_fraction)
    write_corpus(files, names, request, progress)
    heldout = {name.removeprefix(HELDOUT): len(chosen) for name, chosen in files.items() if name.startswith(HELDOUT)}
    write_json(request.merging / "output" / "counts.json", counts(manifest, tally, kept, heldout))
    report = CleanReport(
        pages=tally.pages.total(), kept=len(kept), rejected=tally.by_rule(tally.pages),
        characters=characters_by_language(kept), heldout=heldout,
    )  # fmt: skip
    write_text(request.merging / "report.json", report.model_dump_json())
    request.merging.rename(request.result)
    shutil.rmtree(request.filtered)


def check_chain(request: FilterRequest, cleaner: PageFilter, units: Sequence[Unit], progress: FilterProgress) -> None:
    """Filters units again that did not begin where the unit before them ended. Raises `InputError`, `Stopped`."""
    after: int | None = None
    for unit in units:
        progress.stop()
        if unit.begin > 0:
            begins_here = after is not None and (unit.end is None or after < unit.end)
            expected = after if begins_here else None
            if progress.heads[unit.number].first != expected:
                filter_again(request, cleaner, unit, expected, progress.stop)
                progress.heads[unit.number] = read_head(request, unit.number)
            if not begins_here:
                continue
        after = progress.heads[unit.number].after


def without_duplicates(kept: list[Kept], bands: Bands | None, tally: Tally, progress: FilterProgress) -> list[Kept]:
    """The first of every set of duplicates; all documents if the cleaner compares nothing, and so left no bands.

    `bands` has a row for each document that was kept, by its number.
    """
    if bands is None:
        return kept
    digests: set[bytes] = set()
    distinct = []
    for document in kept:
        if document.digest in digests:
            tally.reject(document.source, "exact_duplicate")
        else:
            digests.add(document.digest)
            distinct.append(document)
    near = repeated(in_order(distinct, bands, progress), len(distinct))
    for document in compress(distinct, near):
        tally.reject(document.source, "near_duplicate")
    return list(compress(distinct, ~near))


def in_order(kept: Sequence[Kept], bands: Bands, progress: FilterProgress) -> Iterator[Bands]:
    """The documents' hashes, band by band. Raises `Stopped`."""
    numbers = np.fromiter((document.number for document in kept), dtype=np.int64, count=len(kept))
    for band in range(bands.shape[1]):
        progress.stop()
        yield bands[numbers, band]


def files_of(kept: Iterable[Kept], names: Sequence[str], fraction: float) -> dict[str, list[Kept]]:
    """The documents of each file, by its name: one for each language and source, and the held-out one of each language."""
    training: dict[tuple[str, int], list[Kept]] = {}
    held: dict[str, list[Kept]] = {}
    for each in kept:
        if is_held_out(document_id(names[each.source], each.uri), fraction):
            held.setdefault(each.language, []).append(each)
        else:
            training.setdefault((each.language, each.source), []).append(each)
    files = {f"train/{language}/{names[source]}": chosen for (language, source), chosen in sorted(training.items())}
    return files | {f"{HELDOUT}{language}": chosen for language, chosen in sorted(held.items())}


def write_corpus(files: dict[str, list[Kept]], names: list[str], request: FilterRequest, progress: FilterProgress) -> None:
    """Writes the files; a file that exists is whole, and the same."""
    written, total = 0, sum(map(len, files.values()))
    with Texts(request) as texts:
        for name, chosen in files.items():
            path = request.merging / "output" / f"{name}.jsonl.gz"
            progress.write(f"writing, {written:,} of {total:,} documents")
            if not path.exists():
                partial = path.with_name(f".{path.name}.partial")
                write_documents(partial, watched(documents(chosen, names, texts), written, total, progress))
                partial.replace(path)
            written += len(chosen)


def documents(kept: Iterable[Kept], names: list[str], texts: Texts) -> Iterator[Document]:
    """The documents, with their texts."""
    for item in kept:
        name = names[item.source]
        yield Document(
            id=document_id(name, item.uri), source=name, language=item.language, uri=item.uri, text=texts.of(item)
        )


def watched(written: Iterable[Document], before: int, total: int, progress: FilterProgress) -> Iterator[Document]:
    """The documents; `before` are written already. Raises `Stopped`."""
    for number, document in enumerate(written, before):
        progress.write(f"writing, {number:,} of {total:,} documents")
        yield document


def is_held_out(identity: str, fraction: float) -> bool:
    """Whether the document is kept from training: decided by its id, so that adding sources moves no document."""
    return int(identity, 16) < fraction * 16**16


def characters_by_language(kept: Iterable[Kept]) -> dict[str, int]:
    """Characters of the documents, by language."""
    total: Counter[str] = Counter()
    for document in kept:
        total[document.language] += document.characters
    return dict(sorted(total.items()))


def counts(manifest: Manifest, tally: Tally, kept: list[Kept], heldout: dict[str, int]) -> dict[str, object]:
    """What `counts.json` says: the whole, each source, each language."""
    own: dict[int, list[Kept]] = {}
    for document in kept:
        own.setdefault(document.source, []).append(document)
    by_source = {
        source.name: {
            "pages": tally.pages[number],
            "kept": len(own.get(number, [])),
            "characters": characters_by_language(own.get(number, [])),
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
    """The error if no page passed, naming the rule that rejected most."""
    rejected = tally.by_rule(tally.pages)
    worst = max(rejected, key=lambda rule: rejected[rule])
    return EmptyCorpus(
        f"nothing is left of the {tally.pages.total():,} pages of {sources}: {worst} rejected {rejected[worst]:,}. "
        f"Loosen clean's {worst}, or collect other sources."
    )
