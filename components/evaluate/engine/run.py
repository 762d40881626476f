"""A call in, all its results in the scratch folder out: by the site's processes, and only what is not there yet."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.base.ports import Context
from components.errors import WorkerFailed
from components.evaluate.benchmarks import CheckedBenchmark
from components.evaluate.engine.merge import versions
from components.evaluate.engine.request import Asking, EvaluationRequest, read_json
from components.evaluate.texts import digest_texts
from components.formats.digests import digest_code, digest_value
from components.formats.files import write_json, write_text
from components.ranks.outcome import raise_refusal, signal_words

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


def measure_all(call: EvaluationRequest, context: Context) -> None:
    """Raises `WorkerFailed` where it was stopped by a signal (the same call goes on) or a process died."""
    prepare(call)
    total, left = len(call.measurements), len(call.left())
    if left < total:
        context.journal.say(f"going on, {total - left:,} of {total:,} measurements are made")
    if left:
        start(call, context)
    context.journal.progress(total, total, "measurements")


def prepare(call: EvaluationRequest) -> None:
    """Writes the call, and removes the results of another."""
    path = call.scratch / "call.json"
    if path.exists() and read_json(path)["mark"] != call.mark:
        shutil.rmtree(call.results, ignore_errors=True)
    call.refusal.unlink(missing_ok=True)
    write_text(path, call.model_dump_json(indent=2))


def start(call: EvaluationRequest, context: Context) -> None:
    """Has the ranks make what is left. Raises a rank's own error where an input was at fault."""
    try:
        context.launcher.run(
            "components.evaluate.engine.worker", [str(call.scratch / "call.json")],
            processes=context.site.evaluate_processes, environment=ENVIRONMENT, outcome=call.outcome,
        )
    except WorkerFailed:
        raise_refusal(call.refusal)
        raise
    if left := len(call.left()):
        raise WorkerFailed(
            f"{signal_words(call.outcome)} with {left:,} of {len(call.measurements):,} measurements left; "
            "the others are kept: run the same command again to continue"
        )


def mark_of(
    fingerprint: str, asking: Asking, benchmarks: Sequence[CheckedBenchmark], texts: Mapping[str, Sequence[str]]
) -> str:
    """The call's mark: the door's fingerprint of parameters and inputs, and what that does not see.

    Items and task files are no parameters; a benchmark's scoring is code of this folder.
    """
    return digest_value({
        "fingerprint": fingerprint,
        "asking": asking.model_dump(exclude={"batch_size"}),
        "benchmarks": [[each.name, each.shots, each.metric, each.task_sha256, each.items_sha256] for each in benchmarks],
        "texts": {language: digest_texts(chosen) for language, chosen in texts.items()},
        "versions": versions(),
        "code": digest_code(Path(__file__).parents[1]),
    })


def write_texts(folder: Path, texts: Mapping[str, Sequence[str]]) -> dict[str, Path]:
    """The texts of each language as a file."""
    files = {language: folder / f"{language}.json" for language in texts}
    for language, path in files.items():
        write_json(path, texts[language])
    return files
