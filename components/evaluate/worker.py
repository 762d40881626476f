"""Two model folders, benchmarks and held-out text in, scores.json, scores.md, scores.png and samples out.

Imports torch, transformers and lm_eval: import it where evaluation begins and nowhere else.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from components.base import Context
from components.errors import EmptyCorpus
from components.evaluate.benchmarks import CheckedBenchmark
from components.evaluate.contract import EvaluateReport
from components.evaluate.table import render_table
from components.evaluate.worker_bits import Ruler, count_bytes, digest_texts
from components.evaluate.worker_harness import Asking, HarnessModel, ask, kept_warnings, load_tasks
from components.evaluate.worker_plot import draw_scores
from components.evaluate.worker_tokenizer import auto_tokenizer
from components.formats.documents import first_texts, heldout_file, read_documents
from components.formats.files import write_text
from components.formats.scores import BASE, TRAINED, Score, Scores, TaskScore, TextScore

if TYPE_CHECKING:
    from components.evaluate.lm_eval import LMEvaluator

VERSIONED = ("lm_eval", "transformers", "tokenizers", "torch", "datasets", "rapidfuzz")


@dataclass(frozen=True)
class Measured:
    """What one model did."""

    dtype: str
    device: str
    window: int
    scores: dict[str, Score]
    samples: dict[str, list[dict[str, Any]]]
    bits: dict[str, float]
    tokens: dict[str, int]
    warnings: list[str]


class Evaluation:
    """One evaluation of two models: the same items, the same texts, the same settings."""

    def __init__(self, evaluator: "LMEvaluator", context: Context, benchmarks: Sequence[CheckedBenchmark]) -> None:
        self.evaluator = evaluator
        self.context = context
        self.benchmarks = benchmarks

    def run(self, models: Mapping[str, Path], text: Path, output: Path) -> EvaluateReport:
        """Measures the models in the order given and writes everything below `output`."""
        torch.manual_seed(self.evaluator.batch_seed)
        transformers_logging.disable_progress_bar()
        texts = self.choose(text)
        self.context.scratch.mkdir(parents=True, exist_ok=True)
        # a cache of its own: `datasets` takes items for unchanged by name and time, not by content
        with tempfile.TemporaryDirectory(dir=self.context.scratch) as cache:
            tasks = load_tasks(self.benchmarks, Path(cache))
            measured = {name: self.measure(name, folder, tasks, texts) for name, folder in models.items()}
        scores = self.gather(measured, texts)
        output.mkdir(parents=True, exist_ok=True)
        write_output(output, scores, measured)
        return report_of(scores)

    def choose(self, text: Path) -> dict[str, list[str]]:
        """The held-out texts by language, in the order in which the tasks name them."""
        texts = {}
        for language in dict.fromkeys(benchmark.language for benchmark in self.benchmarks):
            path = heldout_file(text, language)
            texts[language] = first_texts(read_documents(path), self.evaluator.heldout_characters)
            if not texts[language]:
                raise EmptyCorpus(f"{path} holds no text to measure bits per byte on. Raise clean.heldout_fraction.")
        return texts

    def measure(self, name: str, folder: Path, tasks: Mapping[str, Any], texts: dict[str, list[str]]) -> Measured:
        """Loads one model and measures it."""
        model, tokenizer = load_model(folder)
        scores, samples = {}, {}
        with kept_warnings() as warnings:
            lm = HarnessModel(model, tokenizer, self.asking(), self.telling(name))
            for benchmark in self.benchmarks:
                lm.advance = self.telling(f"{name}: {benchmark.name}")
                found = ask(lm, tasks[benchmark.name], benchmark.metric, self.evaluator.batch_seed)
                scores[benchmark.name], samples[benchmark.name] = found
                self.tell(name, benchmark, scores[benchmark.name])
        for warning in warnings:
            self.context.journal.say(f"lm-eval on {name}: {warning}")
        ruler = Ruler(model, tokenizer, lm.max_length, self.context.site.evaluate_batch_size)
        measured = {
            language: ruler.measure(chosen, self.telling(f"{name}: bits per byte of held-out {language}"))
            for language, chosen in texts.items()
        }
        bits = {language: round(found[0] / count_bytes(texts[language]), 6) for language, found in measured.items()}
        tokens = {language: found[1] for language, found in measured.items()}
        dtype = str(model.dtype).removeprefix("torch.")
        return Measured(dtype, model.device.type, ruler.size, scores, samples, bits, tokens, warnings)

    def asking(self) -> Asking:
        """The settings that both models share."""
        own = self.evaluator
        return Asking(own.maximum_length, own.add_bos_token, self.context.site.evaluate_batch_size, own.batch_seed)

    def telling(self, text: str) -> Callable[[int, int], None]:
        """What is called with `done` and `total` after each batch."""
        return lambda done, total: self.context.journal.progress(done, total, text)

    def tell(self, model: str, benchmark: CheckedBenchmark, score: Score) -> None:
        """Says a score, and how many prompts were cut."""
        cut = f"; {score.truncated} prompts lost their beginning" if score.truncated else ""
        line = f"{model}: {benchmark.name} {benchmark.metric} {score.value:.3f} on {benchmark.items} items{cut}"
        self.context.journal.say(line)

    def gather(self, measured: Mapping[str, Measured], texts: Mapping[str, list[str]]) -> Scores:
        """Both models' measurements as one document."""
        first = next(iter(measured.values()))
        return Scores(
            schema_version=1,
            dtype={name: each.dtype for name, each in measured.items()},
            device=first.device,
            maximum_length=self.evaluator.maximum_length,
            window_tokens={name: each.window for name, each in measured.items()},
            add_bos_token=self.evaluator.add_bos_token,
            seed=self.evaluator.batch_seed,
            tasks=[task_score(benchmark, measured) for benchmark in self.benchmarks],
            text=[text_score(language, chosen, measured) for language, chosen in texts.items()],
            versions={package: version(package) for package in VERSIONED},
        )


def load_model(folder: Path) -> tuple[Any, Any]:
    """The model on a GPU in the checkpoint's own dtype, or on the CPU in float32; and its tokenizer."""
    gpu = torch.cuda.is_available()
    dtype: Any = "auto" if gpu else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype)
    return model.to("cuda" if gpu else "cpu").eval(), auto_tokenizer(folder)


def task_score(benchmark: CheckedBenchmark, measured: Mapping[str, Measured]) -> TaskScore:
    """One task's scores, with what they were measured on."""
    return TaskScore(
        name=benchmark.name, language=benchmark.language, metric=benchmark.metric, shots=benchmark.shots,
        items=benchmark.items, task_sha256=benchmark.task_sha256, items_sha256=benchmark.items_sha256,
        scores={name: each.scores[benchmark.name] for name, each in measured.items()},
    )


def text_score(language: str, texts: Sequence[str], measured: Mapping[str, Measured]) -> TextScore:
    """One language's bits per byte, with what they were measured on."""
    return TextScore(
        language=language, documents=len(texts), characters=sum(map(len, texts)), bytes=count_bytes(texts),
        text_sha256=digest_texts(texts),
        bits_per_byte={name: each.bits[language] for name, each in measured.items()},
        tokens={name: each.tokens[language] for name, each in measured.items()},
    )


def write_output(output: Path, scores: Scores, measured: Mapping[str, Measured]) -> None:
    """Writes the four kinds of file."""
    scores.write(output)
    write_text(output / "scores.md", render_table(scores))
    draw_scores(scores, output / "scores.png")
    for model, each in measured.items():
        for task, samples in each.samples.items():
            lines = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
            write_text(output / "samples" / model / f"{task}.jsonl", lines)
        if each.warnings:
            write_text(output / "samples" / model / "warnings.txt", "\n".join(each.warnings) + "\n")


def report_of(scores: Scores) -> EvaluateReport:
    """The numbers that the run's summary shows."""
    return EvaluateReport(
        base={task.name: task.scores[BASE].value for task in scores.tasks},
        model={task.name: task.scores[TRAINED].value for task in scores.tasks},
        base_bits_per_byte={text.language: text.bits_per_byte[BASE] for text in scores.text},
        model_bits_per_byte={text.language: text.bits_per_byte[TRAINED] for text in scores.text},
    )
