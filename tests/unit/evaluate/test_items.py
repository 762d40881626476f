"""Task names and item folders that cannot be used are refused before a model is loaded, with the next step."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.errors import InputError
from components.evaluate.benchmarks import find_benchmarks, read_items
from components.evaluate.lm_eval import Benchmark

ITEMS = Path("components/evaluate/items")


def ask(items: Path = ITEMS, **changes: Any) -> Any:
    values = {"name": "niilc", "language": "ja", "shots": 2, "metric": "char_f1"} | changes
    (found,) = find_benchmarks([Benchmark.model_validate(values)], items)
    return found


@pytest.fixture
def items(tmp_path: Path) -> Path:
    """A copy of the items that a test may spoil."""
    shutil.copytree(ITEMS, tmp_path / "items")
    return tmp_path / "items"


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


@pytest.mark.parametrize(("name", "metric"), [
    ("jcommonsenseqa", "exact_match"), ("niilc", "char_f1"), ("openbookqa", "acc"),
])
def test_every_shipped_task_has_twenty_items_and_four_shots_that_are_not_among_them(name: str, metric: str) -> None:
    found = ask(name=name, metric=metric, shots=4)
    assert found.items == 20


def test_shipped_multiple_choice_items_have_each_answer_equally_often() -> None:
    labels = [item["label"] for item in read_items(ITEMS / "jcommonsenseqa/test.jsonl", ["label"])]
    keys = [item["answerKey"] for item in read_items(ITEMS / "openbookqa/test.jsonl", ["answerKey"])]
    assert {labels.count(label) for label in range(5)} == {4}
    assert {keys.count(key) for key in "ABCD"} == {5}


def test_an_unknown_task_is_answered_with_the_known_ones_and_how_to_add_one() -> None:
    with pytest.raises(InputError, match=r"jcommonsenseqa, niilc, openbookqa.*add components/evaluate/tasks/jsquad.yaml"):
        ask(name="jsquad")


def test_an_unknown_metric_is_answered_with_the_tasks_own() -> None:
    with pytest.raises(InputError, match=r"'acc'.*niilc.yaml has: char_f1"):
        ask(metric="acc")


def test_a_missing_items_folder_is_named_with_the_files_and_fields_it_needs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fewshot.jsonl does not exist.*niilc/test.jsonl.*text, answers"):
        ask(tmp_path)


def test_more_shots_than_there_are_items_are_refused_with_both_numbers() -> None:
    with pytest.raises(InputError, match=r"5 shots.*holds 4 items"):
        ask(shots=5)


def test_an_item_that_is_both_shot_and_test_is_refused_whatever_its_id(items: Path) -> None:
    shot = json.loads(lines(items / "niilc/fewshot.jsonl")[2])
    with (items / "niilc/test.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(shot | {"id": "another"}) + "\n")
    with pytest.raises(InputError, match=r"item 21 of .*test.jsonl is also item 3 of .*fewshot.jsonl"):
        ask(items)


def test_an_item_without_a_field_is_named_by_its_line(items: Path) -> None:
    path = items / "niilc/test.jsonl"
    kept = lines(path)
    item = json.loads(kept[1])
    del item["answers"]
    path.write_text("".join([kept[0], json.dumps(item) + "\n"]), encoding="utf-8")
    with pytest.raises(InputError, match=r"test.jsonl, item 2: lacks answers"):
        ask(items)


def test_a_line_that_is_not_json_is_named(items: Path) -> None:
    (items / "niilc/test.jsonl").write_text("質問\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"test.jsonl, item 1: not JSON"):
        ask(items)


def test_an_empty_items_file_is_refused(items: Path) -> None:
    (items / "niilc/test.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match="is empty"):
        ask(items)
