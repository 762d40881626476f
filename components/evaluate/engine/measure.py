"""Makes the measurements of one rank and writes a result file for each, with one model in memory at a time.

Imports torch, transformers and lm_eval: only `components.evaluate.engine.worker` may import this file.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from components.evaluate.engine.bits_per_byte import Ruler
from components.evaluate.engine.harness import HarnessModel, ask, kept_warnings, load_tasks
from components.evaluate.engine.progress import EvaluationProgress
from components.evaluate.engine.request import Answers, EvaluationRequest, Measured, Measurement, TextLength, read_json
from components.evaluate.engine.tokenizer import auto_tokenizer, check_tokenizer
from components.evaluate.texts import count_bytes


def measure(
    request: EvaluationRequest, wanted: Sequence[Measurement], devices: Sequence[str], progress: EvaluationProgress
) -> None:
    """Makes the measurements of one rank, model by model. Raises `TokenizerMismatch` before any model is loaded."""
    torch.manual_seed(request.asking.seed)
    transformers_logging.disable_progress_bar()
    by_model = {name: [each for each in wanted if each.model == name] for name in request.models}
    asked_for = {name: measurements for name, measurements in by_model.items() if measurements}
    for name in asked_for:
        check_tokenizer(request.models[name])
    asked = {each.name for each in wanted if each.of == "benchmark"}
    with fresh_folder(request.scratch / f"datasets-{progress.place.rank}") as cache:
        tasks = load_tasks([each for each in request.benchmarks if each.name in asked], cache)
        for name, measurements in asked_for.items():
            measure_model(Subject(request, name, devices, progress), measurements, tasks)


def measure_model(subject: "Subject", measurements: Sequence[Measurement], tasks: Mapping[str, Any]) -> None:
    """Makes the measurements of one model, and writes each result at once."""
    for measurement in measurements:
        subject.request.write_result(measurement, subject.measure(measurement, tasks))


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """An empty folder for the block: `datasets` recognises changed items by name and time, not by content."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Subject:
    """A loaded model that is measured."""

    def __init__(self, request: EvaluationRequest, name: str, devices: Sequence[str], progress: EvaluationProgress) -> None:
        self.request, self.name, self.progress = request, name, progress
        model, tokenizer = load_model(request.models[name], devices)
        with kept_warnings() as self.warnings:
            self.harness = HarnessModel(model, tokenizer, request.asking, progress.at(name))
        self.ruler = Ruler(model, tokenizer, self.harness.max_length, request.asking.batch_size)
        self.facts = Measured(
            dtype=str(model.dtype).removeprefix("torch."), device=model.device.type, window_tokens=self.ruler.size
        ).model_dump()

    def measure(self, measurement: Measurement, tasks: Mapping[str, Any]) -> Measured:
        """Makes one measurement."""
        if measurement.of == "text":
            return self.read(measurement.name)
        return self.ask(measurement.name, tasks[measurement.name])

    def ask(self, benchmark: str, task: Any) -> Answers:
        """Measures the model on one benchmark."""
        self.harness.advance = self.progress.at(f"{self.name}: {benchmark}")
        metric = next(each.metric for each in self.request.benchmarks if each.name == benchmark)
        with kept_warnings() as warnings:
            score, samples = ask(self.harness, task, metric, self.request.asking.seed)
        return Answers(**self.facts, score=score, samples=samples, warnings=list(dict.fromkeys(self.warnings + warnings)))

    def read(self, language: str) -> TextLength:
        """Measures the model on the held-out text of one language."""
        texts: list[str] = read_json(self.request.texts[language])
        bits, tokens = self.ruler.measure(texts, self.progress.at(f"{self.name}: bits per byte of held-out {language}"))
        return TextLength(**self.facts, bits_per_byte=round(bits / count_bytes(texts), 6), tokens=tokens)


def seen_gpus() -> list[int]:
    """The memory of each GPU that this process sees, in bytes."""
    return [torch.cuda.get_device_properties(gpu).total_memory for gpu in range(torch.cuda.device_count())]


def load_model(folder: Path, devices: Sequence[str]) -> tuple[Any, Any]:
    """The model and its tokenizer: on GPUs in its own dtype with layers spread evenly, on the CPU in float32."""
    dtype: Any = torch.float32 if devices[0] == "cpu" else "auto"
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype, **placed(devices))
    return model.eval(), auto_tokenizer(folder)


def placed(devices: Sequence[str]) -> dict[str, Any]:
    """The arguments of `from_pretrained` for one device, or for several without use of the host's memory."""
    if len(devices) == 1:
        return {"device_map": {"": devices[0]}}
    gpus = [torch.device(device).index for device in devices]
    room = {gpu: torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus}
    return {"device_map": "balanced", "max_memory": {**room, "cpu": 0}}
