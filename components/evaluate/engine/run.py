"""Runs the ranks of an evaluation until all results are in the scratch folder; results that exist are not made again."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from components.base.ports import Context
from components.evaluate.benchmarks import CheckedBenchmark
from components.evaluate.engine.merge import versions
from components.evaluate.engine.request import Asking, EvaluationRequest
from components.evaluate.texts import digest_texts
from components.formats.digests import digest_code, digest_value
from components.formats.files import write_json
from components.ranks.run import run_ranks

STAGE = Path(__file__).parents[1]


def measure_all(request: EvaluationRequest, context: Context) -> None:
    """Makes all measurements that are left. Raises as `run_ranks` does."""
    total = len(request.measurements)
    run_ranks(request, context, context.site.evaluate_processes)
    context.journal.progress(total, total, "measurements")


def fingerprint_of(
    stage: str, asking: Asking, benchmarks: Sequence[CheckedBenchmark], texts: Mapping[str, Sequence[str]]
) -> str:
    """The request's fingerprint: the stage's fingerprint, over parameters and inputs, and what that does not cover.

    Items and task files are not parameters, and a benchmark's scoring is code in this folder.
    """
    return digest_value({
        "fingerprint": stage,
        "asking": asking.model_dump(exclude={"batch_size"}),
        "benchmarks": [[each.name, each.shots, each.metric, each.task_sha256, each.items_sha256] for each in benchmarks],
        "texts": {language: digest_texts(chosen) for language, chosen in texts.items()},
        "versions": versions(),
        "code": digest_code(STAGE),
    })


def write_texts(folder: Path, texts: Mapping[str, Sequence[str]]) -> dict[str, Path]:
    """Writes the texts of each language into a file; returns the files."""
    files = {language: folder / f"{language}.json" for language in texts}
    for language, path in files.items():
        write_json(path, texts[language])
    return files
