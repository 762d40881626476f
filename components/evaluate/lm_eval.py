"""A model, its base and clean text in, benchmark scores and bits per byte side by side out, measured by lm-eval."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from components.base import Context, Fields
from components.errors import InputError
from components.evaluate.benchmarks import TASKS, find_benchmarks
from components.evaluate.contract import EvaluateReport, Evaluator
from components.formats.models import check_rows, read_config
from components.formats.scores import BASE, TRAINED

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


class Benchmark(Fields):
    """One task: `tasks/<name>.yaml` asked with `shots` examples; `metric` is the one of its metrics to report."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
    shots: Annotated[int, Field(ge=0)]
    metric: str


class LMEvaluator(Evaluator):
    """Scores both models on local items, and on the held-out text of every language that a task names."""

    kind: Literal["lm_eval"]
    version: Literal[1]
    maximum_length: Annotated[int, Field(gt=1)]
    add_bos_token: bool
    batch_seed: Annotated[int, Field(ge=0)]
    heldout_characters: Annotated[int, Field(gt=0)]
    items: Path
    tasks: Annotated[tuple[Benchmark, ...], Field(min_length=1)]

    def obstacles(self) -> list[str]:
        """Tasks that have no task file: known before the training, not after it."""
        missing = [task.name for task in self.tasks if not (TASKS / f"{task.name}.yaml").exists()]
        where = f"components/{TASKS.parent.name}/{TASKS.name}"
        words = f"{where} has no task file for {', '.join(missing)}; add them, or leave the tasks out of evaluate.tasks"
        return [words] if missing else []

    def run(self, context: Context, model: Path, base: Path, text: Path, output: Path) -> EvaluateReport:
        """Raises `InputError` for a task or items that cannot be used, `TokenizerMismatch`, `EmptyCorpus`."""
        benchmarks = find_benchmarks(self.tasks, self.items)
        for folder in (base, model):
            check_model(folder)
        # all of this must stand before the first import of huggingface_hub and datasets
        os.environ.update(OFFLINE)
        from components.evaluate.worker import Evaluation
        from components.evaluate.worker_tokenizer import check_tokenizer

        for folder in (base, model):
            check_tokenizer(folder, context.journal)
        evaluation = Evaluation(self, context, benchmarks)
        return evaluation.run({BASE: base, TRAINED: model}, text, output)


def check_model(folder: Path) -> None:
    """Raises `InputError` or `TokenizerMismatch` unless the folder holds a model and a tokenizer whose sizes agree."""
    from tokenizers import Tokenizer

    read_config(folder)
    path = folder / "tokenizer.json"
    if not path.exists():
        raise InputError(f"{folder} has no tokenizer.json. Run the stage that writes it: `dvc repro expand`.")
    check_rows(folder, Tokenizer.from_file(str(path)).get_vocab_size())
