"""Collected pages and a cleaner in, training and held-out documents and a count for every page out.

One pass judges the pages in parallel and spools the text of those that pass; the second gathers them
(`components.clean.gather`).
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import IO

from components.base import Context
from components.clean.contract import CleanReport
from components.clean.gather import (
    Kept,
    Tally,
    characters_by_language,
    counts,
    nothing_left,
    without_duplicates,
    write_corpus,
)
from components.clean.judge_worker import Verdict, judge
from components.clean.keep import KeepPages
from components.clean.pages import read_batches
from components.clean.parallel import map_in_order
from components.clean.swallow import SwallowCleaner
from components.formats.files import write_json
from components.formats.manifest import read_manifest


def clean_corpus(
    context: Context, cleaner: SwallowCleaner | KeepPages, sources: Path, output: Path
) -> CleanReport:
    """Reads the pages below `sources`, writes the documents below `output`. Raises `EmptyCorpus`, `InputError`."""
    manifest = read_manifest(sources)
    tally = Tally(cleaner.rule_names())
    context.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=context.scratch) as spool:
        kept = judge_all(context, cleaner, sources, tally, spool)
        kept = without_duplicates(sorted(kept, key=lambda k: (k.source, k.uri, k.offset)), tally)
        if not kept:
            raise nothing_left(tally, sources)
        heldout = write_corpus(kept, manifest, cleaner.heldout_fraction, spool, output)
    write_json(output / "counts.json", counts(manifest, tally, kept, heldout))
    return CleanReport(
        pages=tally.pages.total(),
        kept=len(kept),
        rejected=tally.by_rule(tally.pages),
        characters=characters_by_language(kept),
        heldout=heldout,
    )


def judge_all(
    context: Context, cleaner: SwallowCleaner | KeepPages, sources: Path, tally: Tally, spool: IO[bytes]
) -> list[Kept]:
    """Judges every page; what passes is spooled in the order of the pages."""
    manifest = read_manifest(sources)
    kept: list[Kept] = []
    batches = read_batches(sources, manifest)
    for verdicts in map_in_order(partial(judge, cleaner), batches, context.site.workers):
        for verdict in verdicts:
            tally.pages[verdict.source] += 1
            if verdict.rule:
                tally.reject(verdict.source, verdict.rule)
            else:
                kept.append(spooled(verdict, spool))
        done = tally.pages.total()
        context.journal.progress(done, manifest.pages, f"{len(kept):,} of {done:,} pages pass")
    return kept


def spooled(verdict: Verdict, spool: IO[bytes]) -> Kept:
    """Writes the text to the spool's end; returns where it is."""
    text = verdict.text.encode()
    offset = spool.tell()
    spool.write(text)
    return Kept(verdict.source, verdict.uri, verdict.language, offset, len(text), len(verdict.text), verdict.digest,
                verdict.bands)
