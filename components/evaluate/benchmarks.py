"""Finds the task file and item files of each benchmark, and checks them before anything is measured.

If few-shot items and test items come from two files, lm-eval does not notice an item that is in both: it is checked here.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from components.errors import InputError
from components.formats.digests import digest_file, digest_value

TASKS = Path(__file__).parent / "tasks"
SPLITS = ("fewshot", "test")
NAMES_OF_AN_ITEM = ("id", "q_id")


class Named(Protocol):
    """The fields of an entry of `evaluate.tasks` that are needed here."""

    @property
    def name(self) -> str:
        """The task file's name."""

    @property
    def language(self) -> str:
        """The language that it measures."""

    @property
    def shots(self) -> int:
        """Number of solved examples before each question."""

    @property
    def metric(self) -> str:
        """Which of the task's metrics to report."""


@dataclass(frozen=True)
class CheckedBenchmark:
    """A task whose files exist and hold items of its schema; no item is both a shot and a test item."""

    name: str
    language: str
    shots: int
    metric: str
    task_file: Path
    item_files: dict[str, Path]
    items: int

    @property
    def task_sha256(self) -> str:
        """Digest of the task file."""
        return digest_file(self.task_file)

    @property
    def items_sha256(self) -> dict[str, str]:
        """Digest of each item file, by split."""
        return {split: digest_file(path) for split, path in self.item_files.items()}


def find_benchmarks(tasks: Iterable[Named], items: Path) -> list[CheckedBenchmark]:
    """The benchmarks in the order given. Raises `InputError` naming the file at fault and what to do."""
    return [find_benchmark(task, items) for task in tasks]


def find_benchmark(task: Named, items: Path) -> CheckedBenchmark:
    """One benchmark, checked."""
    task_file = find_task_file(task.name)
    config = read_task(task_file)
    check_metric(task, config, task_file)
    files = {split: items / task.name / f"{split}.jsonl" for split in SPLITS}
    read = {split: read_items(path, config["metadata"]["item_fields"]) for split, path in files.items()}
    check_shots(task, files["fewshot"], read["fewshot"])
    check_disjoint(files, read)
    return CheckedBenchmark(task.name, task.language, task.shots, task.metric, task_file, files, len(read["test"]))


def find_task_file(name: str) -> Path:
    """`tasks/<name>.yaml`. Raises `InputError`, which lists the known tasks, if there is no such file."""
    path = TASKS / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in TASKS.glob("*.yaml")))
        raise InputError(
            f"evaluate.tasks names {name!r}, which has no task file; there are: {known}. "
            f"Choose one, or add components/evaluate/tasks/{name}.yaml (copy its nearest neighbour) and items for it."
        )
    return path


def read_task(path: Path) -> dict[str, Any]:
    """The task file's plain values; a `!function` stays text."""

    class Loader(yaml.SafeLoader):
        """Reads `!function` as a string."""

    Loader.add_constructor("!function", lambda _, node: str(node.value))
    config: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506  (a SafeLoader)
    return config


def check_metric(task: Named, config: dict[str, Any], path: Path) -> None:
    """Raises `InputError` unless the task has the metric that `evaluate.tasks` asks for."""
    known = [entry["metric"] for entry in config["metric_list"]]
    if task.metric not in known:
        raise InputError(f"evaluate.tasks asks {task.name} for {task.metric!r}; {path.name} has: {', '.join(known)}.")


def read_items(path: Path, fields: Sequence[str]) -> list[dict[str, Any]]:
    """The items of one file. Raises `InputError` if the file is missing or empty, or if an item lacks a field."""
    if not path.exists():
        raise InputError(
            f"{path} does not exist. evaluate.items names the folder of items: it needs "
            f"{path.parent.name}/fewshot.jsonl and {path.parent.name}/test.jsonl with the fields {', '.join(fields)}."
        )
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    if not lines:
        raise InputError(f"{path} is empty. It needs one JSON object a line with the fields {', '.join(fields)}.")
    return [read_item(path, number, line, fields) for number, line in enumerate(lines, 1)]


def read_item(path: Path, number: int, line: str, fields: Sequence[str]) -> dict[str, Any]:
    """One item. Raises `InputError` naming file, line and the missing fields."""
    try:
        item = json.loads(line)
    except ValueError as error:
        raise InputError(f"{path}, item {number}: not JSON ({error}). Write one JSON object a line.") from None
    missing = [field for field in fields if field not in item] if isinstance(item, dict) else list(fields)
    if missing:
        raise InputError(f"{path}, item {number}: lacks {', '.join(missing)}. The task needs: {', '.join(fields)}.")
    return dict(item)


def check_shots(task: Named, path: Path, items: Sequence[object]) -> None:
    """Raises `InputError` if there are fewer few-shot items than shots."""
    if task.shots > len(items):
        raise InputError(
            f"evaluate.tasks asks {task.name} for {task.shots} shots but {path} holds {len(items)} items. "
            "Lower shots, or add items there."
        )


def check_disjoint(files: dict[str, Path], items: dict[str, list[dict[str, Any]]]) -> None:
    """Raises `InputError` if an item, whatever its id, is both a shot and a test item."""
    shots = {content(item): number for number, item in enumerate(items["fewshot"], 1)}
    for number, item in enumerate(items["test"], 1):
        if content(item) in shots:
            raise InputError(
                f"item {number} of {files['test']} is also item {shots[content(item)]} of {files['fewshot']}: "
                "the model would be shown the answer. Remove it from one of the two."
            )


def content(item: dict[str, Any]) -> str:
    """Digest of an item without its id."""
    return digest_value({key: value for key, value in item.items() if key not in NAMES_OF_AN_ITEM})
