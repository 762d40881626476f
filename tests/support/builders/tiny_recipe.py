"""A recipe that is as real as the smoke recipe but a few times smaller, for tests that run it many times."""

from pathlib import Path
from typing import Any

import yaml

from components.recipes import read_parameters
from infra import git
from tests.e2e.conftest import Clone

SOURCES = {"developers-ja", "developers-en"}
TRAINING = {"steps": 12, "warmup_steps": 2, "checkpoint_every_steps": 3, "sequence_length": 64, "global_batch_size": 16}
SHAPE = {"hidden_size": 32, "intermediate_size": 64, "layers": 1, "heads": 2, "key_value_heads": 1}


def tiny_recipe(root: Path) -> Any:
    """The smoke's recipe with two of its sources, one layer and a dozen steps."""
    recipe = read_parameters(root / "recipes/smoke.yaml").values
    recipe["collect"]["sources"] = [s for s in recipe["collect"]["sources"] if s["name"] in SOURCES]
    recipe["clean"]["heldout_fraction"] = 0.2
    for section in ("train_base", "train"):
        recipe[section] |= TRAINING
    for section in ("pack_base", "pack"):
        recipe[section]["sequence_length"] = TRAINING["sequence_length"]
    recipe["train_base"]["architecture"] |= SHAPE
    recipe["expand"] |= {"pieces": 32200, "trained_pieces": 1500}
    recipe["evaluate"] |= {"heldout_characters": 2000, "tasks": recipe["evaluate"]["tasks"][:1]}
    return recipe


def add_tiny(clone: Clone, **changes: Any) -> None:
    """Commits `recipes/tiny.yaml` to the clone; a change is `section={key: value}`."""
    recipe = tiny_recipe(clone.path)
    for section, values in changes.items():
        recipe[section] |= values
    path = clone.path / "recipes" / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), encoding="utf-8")
    git.commit_all(clone.path, "a tiny recipe")
