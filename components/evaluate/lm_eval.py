"""Measures a trained model and its base with lm-eval: benchmark scores, and bits per byte of held-out text, side by side.

This module checks the inputs and starts as many ranks as the site has; `components.evaluate.engine.worker` is one of them.
If it is interrupted at any moment, the same call measures what is not measured yet, and ends with the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from components.base.fields import Fields
from components.base.ports import Context, Journal
from components.data.documents import first_texts, heldout_file, read_documents
from components.errors import EmptyCorpus, InputError
from components.evaluate.benchmarks import TASKS, CheckedBenchmark, find_benchmarks
from components.evaluate.contract import EvaluateReport, Evaluator
from components.evaluate.engine.merge import Results, report_of
from components.evaluate.engine.rank_slice import measurements_of
from components.evaluate.engine.request import ENVIRONMENT, Asking, EvaluationRequest
from components.evaluate.engine.run import fingerprint_of, measure_all, write_texts
from components.formats.scores import BASE, TRAINED
from components.models.folder import check_rows, read_config
from components.tokenizers.fingerprint import FILE, read_tokenizer_fingerprint


class Benchmark(Fields):
    """One task: `tasks/<name>.yaml`, asked with `shots` examples; `metric` is the one of its metrics to report."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
    shots: Annotated[int, Field(ge=0)]
    metric: str


class LMEvaluator(Evaluator):
    """Scores both models on local items, and on the held-out text of every language that a task names."""

    kind: Literal["lm_eval"]
    version: Literal[1]
    rank_variables: ClassVar[Mapping[str, str]] = ENVIRONMENT
    maximum_length: Annotated[int, Field(gt=1)]
    add_bos_token: bool
    batch_seed: Annotated[int, Field(ge=0)]
    heldout_characters: Annotated[int, Field(gt=0)]
    items: Path
    tasks: Annotated[tuple[Benchmark, ...], Field(min_length=1)]

    def preflight(self) -> list[str]:
        """Names the tasks that have no task file: this is known before the training, not only after it."""
        missing = [task.name for task in self.tasks if not (TASKS / f"{task.name}.yaml").exists()]
        where = f"components/{TASKS.parent.name}/{TASKS.name}"
        words = f"{where} has no task file for {', '.join(missing)}; add them, or leave the tasks out of evaluate.tasks"
        return [words] if missing else []

    def run(self, context: Context, model: Path, base: Path, text: Path, output: Path) -> EvaluateReport:
        """Raises `InputError` for a task or items that cannot be used, `TokenizerMismatch`, `EmptyCorpus`, `WorkerFailed`."""
        benchmarks = [absolute(each) for each in find_benchmarks(self.tasks, self.items)]
        models = {BASE: base, TRAINED: model}
        for folder in models.values():
            check_model(folder, context.journal)
        texts = self._choose(text)
        request = self._request(context, models, benchmarks, texts)
        measure_all(request, context)
        results = Results(request)
        for line in results.words():
            context.journal.say(line)
        scores = results.scores(texts)
        results.write(scores, output)
        return report_of(scores)

    def _choose(self, text: Path) -> dict[str, list[str]]:
        """The held-out texts by language, in the order in which the tasks name them."""
        texts = {}
        for language in dict.fromkeys(task.language for task in self.tasks):
            path = heldout_file(text, language)
            texts[language] = first_texts(read_documents(path), self.heldout_characters)
            if not texts[language]:
                raise EmptyCorpus(f"{path} holds no text to measure bits per byte on. Raise clean.heldout_fraction.")
        return texts

    def _request(
        self, context: Context, models: Mapping[str, Path], benchmarks: Sequence[CheckedBenchmark],
        texts: Mapping[str, Sequence[str]],
    ) -> EvaluationRequest:
        """The request that the ranks read."""
        asking = Asking(
            maximum_length=self.maximum_length, add_bos_token=self.add_bos_token,
            batch_size=context.site.evaluate_batch_size, seed=self.batch_seed,
        )
        return EvaluationRequest(
            fingerprint=fingerprint_of(context.fingerprint, asking, benchmarks, texts),
            models={name: folder.absolute() for name, folder in models.items()},
            benchmarks=tuple(benchmarks),
            texts=write_texts(context.scratch.absolute() / "texts", texts),
            asking=asking,
            measurements=tuple(measurements_of(models, benchmarks, texts)),
            scratch=context.scratch.absolute(),
        )


def absolute(benchmark: CheckedBenchmark) -> CheckedBenchmark:
    """The benchmark with absolute paths to its item files."""
    return replace(benchmark, item_files={split: path.absolute() for split, path in benchmark.item_files.items()})


def check_model(folder: Path, journal: Journal) -> None:
    """Raises `InputError` or `TokenizerMismatch` unless the folder holds a model and a tokenizer whose sizes agree.

    Says so if nothing is known of the tokenizer that the model was trained with.
    """
    from tokenizers import Tokenizer

    read_config(folder)
    path = folder / "tokenizer.json"
    if not path.exists():
        raise InputError(f"{folder} has no tokenizer.json. Run the stage that writes it: `dvc repro expand`.")
    check_rows(folder, Tokenizer.from_file(str(path)).get_vocab_size())
    if read_tokenizer_fingerprint(folder) is None:
        journal.say(f"{folder} has no {FILE}: whether its tokenizer is the one that it was trained with cannot be checked")
