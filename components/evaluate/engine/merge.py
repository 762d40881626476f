"""Merges all results of a request into scores.json, scores.md, scores.png and samples."""

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from components.evaluate.benchmarks import CheckedBenchmark
from components.evaluate.contract import EvaluateReport
from components.evaluate.engine.request import Answers, EvaluationRequest, TextLength
from components.evaluate.scores_table import render_table
from components.evaluate.texts import count_bytes, digest_texts
from components.formats.files import write_text
from components.formats.scores import BASE, TRAINED, Scores, TaskScore, TextScore

VERSIONED = ("lm_eval", "transformers", "tokenizers", "torch", "datasets", "rapidfuzz")


class Results:
    """All results, by model and by benchmark or language, in the order of the request."""

    def __init__(self, request: EvaluationRequest) -> None:
        self.request = request
        self.answers = {
            model: {each.name: request.answers(model, each.name) for each in request.benchmarks} for model in request.models
        }
        self.lengths = {model: {name: request.text_length(model, name) for name in request.texts} for model in request.models}

    def warnings(self, model: str) -> list[str]:
        """lm-eval's warnings about a model, each once."""
        return list(dict.fromkeys(words for each in self.answers[model].values() for words in each.warnings))

    def measured(self, model: str) -> list[Answers | TextLength]:
        """All results of one model."""
        return [*self.answers[model].values(), *self.lengths[model].values()]

    def scores(self, texts: Mapping[str, Sequence[str]]) -> Scores:
        """Both models' measurements as one document."""
        measured = {model: self.measured(model) for model in self.request.models}
        asking = self.request.asking
        return Scores(
            schema_version=1,
            dtype={model: joined(each.dtype for each in found) for model, found in measured.items()},
            device=joined(each.device for found in measured.values() for each in found),
            maximum_length=asking.maximum_length,
            window_tokens={model: found[0].window_tokens for model, found in measured.items()},
            add_bos_token=asking.add_bos_token,
            seed=asking.seed,
            tasks=[self.task_score(benchmark) for benchmark in self.request.benchmarks],
            text=[self.text_score(language, chosen) for language, chosen in texts.items()],
            versions=versions(),
        )

    def task_score(self, benchmark: CheckedBenchmark) -> TaskScore:
        """One task's scores, and what they were measured on."""
        return TaskScore(
            name=benchmark.name, language=benchmark.language, metric=benchmark.metric, shots=benchmark.shots,
            items=benchmark.items, task_sha256=benchmark.task_sha256, items_sha256=benchmark.items_sha256,
            scores={model: answers[benchmark.name].score for model, answers in self.answers.items()},
        )

    def text_score(self, language: str, texts: Sequence[str]) -> TextScore:
        """One language's bits per byte, and what they were measured on."""
        return TextScore(
            language=language, documents=len(texts), characters=sum(map(len, texts)), bytes=count_bytes(texts),
            text_sha256=digest_texts(texts),
            bits_per_byte={model: lengths[language].bits_per_byte for model, lengths in self.lengths.items()},
            tokens={model: lengths[language].tokens for model, lengths in self.lengths.items()},
        )

    def words(self) -> list[str]:
        """One line for each score, with how many prompts were cut, and for each of lm-eval's warnings."""
        lines = []
        for model, answers in self.answers.items():
            for benchmark in self.request.benchmarks:
                score = answers[benchmark.name].score
                cut = f"; {score.truncated} prompts lost their beginning" if score.truncated else ""
                lines.append(f"{model}: {benchmark.name} {benchmark.metric} {score.value:.3f} on {benchmark.items} items{cut}")
            lines += [f"lm-eval on {model}: {warning}" for warning in self.warnings(model)]
        return lines

    def write(self, scores: Scores, output: Path) -> None:
        """Writes the four kinds of file below `output`."""
        from components.evaluate.engine.plot import draw_scores

        output.mkdir(parents=True, exist_ok=True)
        scores.write(output)
        write_text(output / "scores.md", render_table(scores))
        draw_scores(scores, output / "scores.png")
        for model, answers in self.answers.items():
            for task, each in answers.items():
                lines = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in each.samples)
                write_text(output / "samples" / model / f"{task}.jsonl", lines)
            if warnings := self.warnings(model):
                write_text(output / "samples" / model / "warnings.txt", "\n".join(warnings) + "\n")


def versions() -> dict[str, str]:
    """The versions of the packages that scores can depend on."""
    return {package: version(package) for package in VERSIONED}


def joined(words: Iterable[str]) -> str:
    """The one value that all words have; or all values, if an attempt on another machine made some of the results."""
    return " and ".join(sorted(set(words)))


def report_of(scores: Scores) -> EvaluateReport:
    """The numbers that the run's summary shows."""
    return EvaluateReport(
        base={task.name: task.scores[BASE].value for task in scores.tasks},
        model={task.name: task.scores[TRAINED].value for task in scores.tasks},
        base_bits_per_byte={text.language: text.bits_per_byte[BASE] for text in scores.text},
        model_bits_per_byte={text.language: text.bits_per_byte[TRAINED] for text in scores.text},
    )
