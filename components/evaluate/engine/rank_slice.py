"""Divides the measurements of an evaluation into one slice for each rank, so that ranks need not talk to each other."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from components.evaluate.benchmarks import CheckedBenchmark, read_task
from components.evaluate.engine.request import Measurement
from components.evaluate.texts import count_bytes

GENERATED = 64
"""What a generated token costs, in bytes of text read: a batch needs one pass for each token, and reads thousands of bytes
in one pass."""
GENERATED_AT_MOST = 256
"""The most tokens that are generated if a task does not say: lm-eval's default."""
CHOICES = 4
"""How often the prompt of a multiple-choice item is read."""
OVERLAP = 2
"""How often a byte of held-out text is read, in windows that overlap by half."""


def measurements_of(
    models: Iterable[str], benchmarks: Sequence[CheckedBenchmark], texts: Mapping[str, Sequence[str]]
) -> list[Measurement]:
    """The measurements of every model on every benchmark and on the text of every language."""
    costs: list[tuple[Literal["benchmark", "text"], str, int]] = [
        *(("benchmark", each.name, benchmark_cost(each)) for each in benchmarks),
        *(("text", language, OVERLAP * count_bytes(chosen)) for language, chosen in texts.items()),
    ]
    return [Measurement(model=model, of=of, name=name, cost=cost) for model in models for of, name, cost in costs]


def deal(measurements: Sequence[Measurement], ranks: int) -> list[list[Measurement]]:
    """One slice for each rank, the same on every rank; with more ranks than measurements some slices are empty.

    The longest measurement goes first, to the rank that has least: at most a third longer than the optimum (Graham 1969).
    """
    shares: list[list[Measurement]] = [[] for _ in range(ranks)]
    for measurement in sorted(measurements, key=lambda each: -each.cost):
        min(shares, key=lambda share: sum(each.cost for each in share)).append(measurement)
    return shares


def benchmark_cost(benchmark: CheckedBenchmark) -> int:
    """Bytes of all prompts, as often as they are read, and the cost of all tokens that may be generated."""
    config = read_task(benchmark.task_file)
    shots = benchmark.item_files["fewshot"].read_bytes().splitlines()[: benchmark.shots]
    prompts = benchmark.item_files["test"].stat().st_size + benchmark.items * sum(map(len, shots))
    if config.get("output_type") == "multiple_choice":
        return CHOICES * prompts
    most = config.get("generation_kwargs", {}).get("max_gen_toks", GENERATED_AT_MOST)
    return prompts + GENERATED * benchmark.items * int(most)
