"""Asks a loaded model the items of benchmarks through lm-eval; gives the score and the samples of each.

Imports lm_eval: only `components.evaluate.engine.measure` may import this file. `lm_eval.evaluator.evaluate` is called rather
than `simple_evaluate`, which does the same evaluation but also asks git, lscpu and pip about the machine.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from components.evaluate.benchmarks import TASKS, CheckedBenchmark
from components.evaluate.engine.request import Asking
from components.formats.scores import Score

EXPECTED = (
    "`pretrained` model kwarg is not of type `str`",  # a loaded model is handed over on purpose
    "Passed an already-initialized model through `pretrained`",  # likewise
    "Left truncation applied",  # counted, and stated as `truncated`
)


class HarnessModel(HFLM):  # type: ignore[misc]  # lm_eval is untyped
    """A loaded model as lm-eval needs it; it calls `advance(done, total)` after every batch instead of a progress bar."""

    def __init__(self, model: Any, tokenizer: Any, asking: Asking, advance: Callable[[int, int], None]) -> None:
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=asking.batch_size,
            max_length=min(asking.maximum_length, model.config.max_position_embeddings),
            add_bos_token=asking.add_bos_token,
        )
        self.advance = advance
        self.done, self.total = 0, 0

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """As lm-eval's, quietly."""
        self.done, self.total = 0, len(requests)
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return answers

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """As lm-eval's, quietly."""
        self.done, self.total = 0, len(requests)
        answers: list[str] = super().generate_until(requests, disable_tqdm=disable_tqdm)
        return answers

    def _model_call(self, inps: torch.Tensor, **others: Any) -> torch.Tensor:
        logits: torch.Tensor = super()._model_call(inps, **others)
        self.count(len(inps))
        return logits

    def _model_generate(self, context: torch.Tensor, **others: Any) -> torch.Tensor:
        tokens: torch.Tensor = super()._model_generate(context, **others)
        self.count(len(context))
        return tokens

    def count(self, rows: int) -> None:
        """Adds `rows` answered requests to the progress."""
        self.done += rows
        self.advance(self.done, self.total)

    def truncates(self, instance: Any) -> bool:
        """Whether this request's prompt is too long, so that its beginning is cut off."""
        prompt, rest = instance.args
        generated = rest["max_gen_toks"] if isinstance(rest, dict) else -1
        room: int = self.max_length - generated
        return len(self.tok_encode(prompt if isinstance(rest, dict) else prompt + rest)) > room


def load_tasks(benchmarks: Sequence[CheckedBenchmark], cache: Path) -> dict[str, Any]:
    """lm-eval's task for each benchmark, reading the local items; `datasets` writes into `cache`."""
    specifications = [
        {
            "task": benchmark.name,
            "num_fewshot": benchmark.shots,
            "dataset_kwargs": {
                "data_files": {split: str(path) for split, path in benchmark.item_files.items()},
                "cache_dir": str(cache),
            },
        }
        for benchmark in benchmarks
    ]
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    # a group's members are the named tasks with these overrides; a bare mapping would replace the task file
    tasks: dict[str, Any] = manager.load({"group": "martlet", "task": specifications})["tasks"]
    return tasks


def ask(lm: HarnessModel, task: Any, metric: str, seed: int) -> tuple[Score, list[dict[str, Any]]]:
    """The model's score on one task, and one sample for each item, in the order of the file."""
    torch.manual_seed(seed)
    task.set_fewshot_seed(seed)
    name = task.task_name
    found = evaluate(lm, {"tasks": {name: task}}, bootstrap_iters=1000)
    result = found["results"][name]
    error = result.get(f"{metric}_stderr,none")
    truncated = len({i.doc_id for i in task.instances if lm.truncates(i)})
    score = Score(
        value=round(float(result[f"{metric},none"]), 6),
        standard_error=round(float(error), 6) if isinstance(error, float) else None,
        truncated=truncated,
    )
    samples = sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
    return score, [sample_of(sample, task, metric) for sample in samples]


def sample_of(sample: Mapping[str, Any], task: Any, metric: str) -> dict[str, Any]:
    """What one item asked and expected, what the model answered, and how that was scored."""
    stated = {"item": sample["doc_id"], "prompt": sample["arguments"][0][0]}
    if task.OUTPUT_TYPE == "multiple_choice":
        choices = task.doc_to_choice(sample["doc"])
        likelihoods = [round(float(answer[0]), 3) for answer in sample["filtered_resps"]]
        best = max(range(len(choices)), key=lambda number: float(sample["filtered_resps"][number][0]))
        stated |= {
            "target": choices[sample["target"]],
            "output": choices[best],
            "log_likelihoods": dict(zip(choices, likelihoods, strict=True)),
        }
    else:
        stated |= {"target": sample["target"], "output": sample["filtered_resps"][0]}
    return stated | {"score": float(sample[metric])}


@contextmanager
def kept_warnings() -> Iterator[list[str]]:
    """lm-eval's warnings inside the block, without the expected ones; none of them reaches the terminal."""
    kept: list[str] = []
    logger = logging.getLogger("lm_eval")
    handler = Keeper(kept)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield kept
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class Keeper(logging.Handler):
    """Keeps each unexpected warning once, in order."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        text = record.getMessage()
        if not text.startswith(EXPECTED) and text not in self.kept:
            self.kept.append(text)
