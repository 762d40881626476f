"""The Swallow recipes carry the published numbers, corrected where they were bugs; the published ones, these too."""

from pathlib import Path
from typing import Any

import pytest

from components.recipes import read_parameters

ROOT = Path(__file__).parents[3]
PUBLISHED = {
    "swallow-ms-7b": {
        "learning_rate": 2e-5, "minimum_learning_rate": 6.6e-7, "sequence_length": 4096, "global_batch_size": 1024,
        "steps": 25000, "warmup_steps": 1000, "adam_epsilon": 1e-8, "weight_decay": 0.1, "checkpoint_every_steps": 500,
        "router_auxiliary_loss": None, "maximum_positions": 4096, "precision": "bf16", "decay": "all",
    },
    "swallow-mx-8x7b": {
        "learning_rate": 2e-5, "minimum_learning_rate": 2e-6, "sequence_length": 4096, "global_batch_size": 1024,
        "steps": 25000, "warmup_steps": 1000, "adam_epsilon": 1e-8, "weight_decay": 0.1, "checkpoint_every_steps": 250,
        "router_auxiliary_loss": 0.02, "maximum_positions": 4096, "precision": "bf16", "decay": "all",
    },
}
AS_PUBLISHED = {
    "swallow-ms-7b": {"adam_epsilon": 1e-6, "precision": "pure_bf16"},
    "swallow-mx-8x7b": {"adam_epsilon": 1e-6},
}
"""What the recipe of the same name with "-published" has otherwise."""
SOURCED = {"pack", "train", "evaluate", "clean"}
JAPANESE_TO_ENGLISH = {"swallow-ms-7b": 0.900, "swallow-mx-8x7b": 0.715}


def recipe(name: str) -> Any:
    from components.params import load_params

    return load_params(ROOT / "recipes" / f"{name}.yaml").model_dump()


@pytest.mark.parametrize("name", PUBLISHED)
def test_training_numbers_are_the_published_ones(name: str) -> None:
    train = recipe(name)["train"]
    assert {key: train[key] for key in PUBLISHED[name]} == PUBLISHED[name]
    tokens = train["steps"] * train["global_batch_size"] * train["sequence_length"]
    assert tokens == 104_857_600_000


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_variant_differs_in_what_was_corrected_and_in_its_name_alone(name: str) -> None:
    corrected, published = recipe(name), recipe(f"{name}-published")
    title = corrected["publish"]["title"] + " as published"
    assert published.pop("publish") == corrected.pop("publish") | {"name": f"{name}-published", "title": title}
    assert published.pop("train") == corrected.pop("train") | AS_PUBLISHED[name]
    assert published == corrected


@pytest.mark.parametrize("name", PUBLISHED)
def test_mixture_weights_sum_to_a_hundred_billion_in_the_published_proportion(name: str) -> None:
    weights: dict[str, float] = {}
    for share in recipe(name)["pack"]["mixture"]:
        language = share["text"].split("/")[0]
        weights[language] = weights.get(language, 0) + share["weight"]
    assert sum(weights.values()) == pytest.approx(1e11, rel=5e-4)  # the sources publish three decimals
    assert weights["ja"] / (weights["ja"] + weights["en"]) == pytest.approx(JAPANESE_TO_ENGLISH[name], abs=5e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_text_of_the_mixture_is_collected(name: str) -> None:
    values = recipe(name)
    collected = {f"{source['language']}/{source['name']}" for source in values["collect"]["sources"]}
    assert {share["text"] for share in values["pack"]["mixture"]} == collected


@pytest.mark.parametrize("name", PUBLISHED)
def test_all_fourteen_benchmarks_have_the_published_shots(name: str) -> None:
    tasks = recipe(name)["evaluate"]["tasks"]
    assert [task["shots"] for task in tasks if task["language"] == "ja"] == [4, 4, 4, 4, 1, 4, 4, 4]
    assert [task["shots"] for task in tasks if task["language"] == "en"] == [8] * 6


def test_swallow_ms_has_42800_pieces_and_swallow_mx_its_own() -> None:
    assert recipe("swallow-ms-7b")["expand"]["pieces"] == 42_800
    assert recipe("swallow-mx-8x7b")["expand"]["kind"] == "passthrough"


def test_the_corpus_rules_are_the_published_ones_in_both() -> None:
    rules = recipe("swallow-ms-7b")["clean"]["rules"]
    assert rules == recipe("swallow-mx-8x7b")["clean"]["rules"]
    assert rules["maximum_duplicate_ngram_type_fraction"] == {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    assert rules["maximum_top_ngram_fraction"] == {2: 0.20, 3: 0.18, 4: 0.16}
    assert (rules["minimum_mean_sentence_length"], rules["maximum_mean_sentence_length"]) == (20, 90)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_section_names_its_sources_in_comments(name: str) -> None:
    files = read_parameters(ROOT / "recipes" / f"{name}.yaml").files
    parts = [part for file in files for part in Path(file).read_text(encoding="utf-8").split("\n\n")]
    sections = [part for part in parts if part.split(":")[0] in SOURCED]
    assert {section.split(":")[0] for section in sections} == SOURCED
    assert all("[" in section for section in sections)
