"""The request that the evaluator writes for its ranks, and the results that they leave: small files in the scratch folder."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from components.base.fields import Fields
from components.evaluate.benchmarks import CheckedBenchmark
from components.formats.files import write_json
from components.formats.scores import Score
from components.ranks.outcome import Outcome
from components.ranks.request import RankRequest

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


class Asking(Fields):
    """How models are asked; the same for all models."""

    maximum_length: int
    add_bos_token: bool
    batch_size: int
    seed: int


class Measurement(Fields):
    """One piece of work: a model on a benchmark, or on a language's held-out text."""

    model: str
    of: Literal["benchmark", "text"]
    name: str
    """The benchmark's name, or the language."""
    cost: int
    """How long it takes relative to the others, estimated."""


class Measured(Fields):
    """The facts that are the same in all measurements of a model."""

    dtype: str
    device: str
    window_tokens: int


class Answers(Measured):
    """How a model did on one benchmark."""

    score: Score
    samples: list[dict[str, Any]]
    warnings: list[str]
    """lm-eval's warnings, each once, including those at its start."""


class TextLength(Measured):
    """How many tokens and bits the held-out text of one language costs a model."""

    bits_per_byte: float
    tokens: int


class EvaluationRequest(RankRequest):
    """An evaluation as its ranks read it."""

    worker: ClassVar[str] = "components.evaluate.engine.worker"
    variables: ClassVar[Mapping[str, str]] = ENVIRONMENT

    models: dict[str, Path]
    benchmarks: tuple[CheckedBenchmark, ...]
    texts: dict[str, Path]
    """The held-out texts by language, each file a JSON list of strings."""
    asking: Asking
    measurements: tuple[Measurement, ...]

    @property
    def results(self) -> Path:
        """The folder with one file for each measurement that is made."""
        return self.scratch / "results"

    def result(self, model: str, of: str, name: str) -> Path:
        """The file of one measurement; it is whole or absent."""
        return self.results / f"{model}.{of}.{name}.json"

    def is_done(self) -> bool:
        """Whether every measurement is made."""
        return not self.left()

    def kept(self) -> str:
        """How many measurements are made."""
        total, left = len(self.measurements), len(self.left())
        return f"{total - left:,} of {total:,} measurements are made" if left < total else ""

    def reached(self, outcome: Outcome) -> str:  # noqa: ARG002  (the result files say more)
        """How many measurements are left."""
        return f" with {len(self.left()):,} of {len(self.measurements):,} measurements left"

    def forget(self) -> None:
        """Removes the measurements of another evaluation."""
        shutil.rmtree(self.results, ignore_errors=True)

    def left(self) -> list[Measurement]:
        """The measurements that are not made yet."""
        return [each for each in self.measurements if not self.result(each.model, each.of, each.name).exists()]

    def write_result(self, measurement: Measurement, measured: Measured) -> None:
        """Writes the result of a measurement."""
        write_json(self.result(measurement.model, measurement.of, measurement.name), measured.model_dump())

    def answers(self, model: str, benchmark: str) -> Answers:
        """A model's result on a benchmark."""
        return Answers.model_validate(read_json(self.result(model, "benchmark", benchmark)))

    def text_length(self, model: str, language: str) -> TextLength:
        """A model's result on the text of a language."""
        return TextLength.model_validate(read_json(self.result(model, "text", language)))


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
