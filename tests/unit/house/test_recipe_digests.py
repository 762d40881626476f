"""What a recipe resolves to changes on purpose alone: one digest for each section of each recipe and of `params.yaml`.

After a change that is meant, `python -m tests.unit.house.test_recipe_digests` writes the digests anew; the difference shows which
sections of which recipes it reached, and belongs into the same commit.
"""

import json
from pathlib import Path

import pytest

from components.formats.digests import digest_value
from components.params import load_params

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/golden/recipe_digests.json"
FILES = sorted(str(path.relative_to(ROOT)) for path in [*(ROOT / "recipes").glob("*.yaml"), ROOT / "params.yaml"])


def digests(file: str) -> dict[str, str]:
    """By section."""
    return {section: digest_value(values) for section, values in load_params(ROOT / file).model_dump(mode="json").items()}


@pytest.mark.parametrize("file", FILES)
def test_a_recipe_resolves_to_what_it_was(file: str) -> None:
    assert digests(file) == json.loads(GOLDEN.read_text(encoding="utf-8"))[file]


def test_no_digest_is_of_a_recipe_that_is_gone() -> None:
    assert sorted(json.loads(GOLDEN.read_text(encoding="utf-8"))) == FILES


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({file: digests(file) for file in FILES}, indent=2) + "\n", encoding="utf-8")
