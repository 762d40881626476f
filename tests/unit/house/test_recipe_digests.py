"""What a recipe resolves to changes on purpose alone: one digest for each section of each recipe.

After a change that is meant, `python -m tests.unit.house.test_recipe_digests` writes the digests anew; the difference shows
which sections of which recipes it reached, and belongs into the same commit.
"""

import json
from pathlib import Path

import pytest

from components.formats.digests import digest_value
from components.params import load_params

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/golden/recipe_digests.json"
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


def digests(recipe: str) -> dict[str, str]:
    """By section."""
    parameters = load_params(ROOT / f"recipes/{recipe}.yaml").model_dump(mode="json")
    return {section: digest_value(values) for section, values in parameters.items()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_resolves_to_what_it_was(recipe: str) -> None:
    assert digests(recipe) == json.loads(GOLDEN.read_text(encoding="utf-8"))[recipe]


def test_no_digest_is_of_a_recipe_that_is_gone() -> None:
    assert sorted(json.loads(GOLDEN.read_text(encoding="utf-8"))) == RECIPES


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({recipe: digests(recipe) for recipe in RECIPES}, indent=2) + "\n", encoding="utf-8")
