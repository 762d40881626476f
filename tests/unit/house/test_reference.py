"""The generated reference is what the code says now."""

import pytest

from docs.generate import FOLDER, pages


@pytest.mark.parametrize("name", ["command.md", "parameters.md"])
def test_a_reference_page_is_current(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], "run `make docs` and commit"


def test_every_field_of_the_recipes_is_explained_on_the_page() -> None:
    page = pages()["parameters.md"]
    for field in ("learning_rate", "maximum_top_ngram_fraction", "heldout_characters", "trained_pieces"):
        assert f"| `{field}` |" in page
