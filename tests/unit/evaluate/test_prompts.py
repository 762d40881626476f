"""What a model is asked is what the published evaluation asked, to the letter: golden files of whole prompts."""

from pathlib import Path

import pytest

from components.evaluate.benchmarks import find_benchmarks
from components.evaluate.engine.harness import load_tasks
from components.evaluate.lm_eval import Benchmark

GOLDEN = Path(__file__).parents[2] / "golden"
ITEMS = Path("components/evaluate/items")


@pytest.mark.parametrize(("name", "language", "metric", "settings"), [
    ("jcommonsenseqa", "ja", "exact_match", {"until": ["\n"], "max_gen_toks": 1, "do_sample": False}),
    ("niilc", "ja", "char_f1", {"until": ["\n"], "max_gen_toks": 180, "do_sample": False}),
    ("openbookqa", "en", "acc", None),
])
def test_the_four_shot_prompt_is_the_golden_one(
    tmp_path: Path, name: str, language: str, metric: str, settings: dict[str, object] | None
) -> None:
    asked = Benchmark(name=name, language=language, shots=4, metric=metric)
    task = load_tasks(find_benchmarks([asked], ITEMS), tmp_path)[name]
    task.set_fewshot_seed(1)
    item = task.test_docs()[0]
    prompt = task.fewshot_context(item, 4)
    assert prompt == (GOLDEN / f"prompt_{name}.txt").read_text(encoding="utf-8")
    assert task.config.generation_kwargs == settings
