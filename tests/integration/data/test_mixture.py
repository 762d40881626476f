"""The weights of Swallow's recipes, as an order: even over any 1,000 samples, across the seam of two cycles too."""

from pathlib import Path

import numpy as np
import pytest

from components.data.mixture import Mixture
from components.recipes import read_parameters

RECIPES = Path(__file__).parents[3] / "recipes"


@pytest.mark.parametrize("recipe", ["swallow-ms-7b", "swallow-mx-8x7b"])
def test_any_1000_samples_and_any_first_samples_are_within_one_of_the_recipes_weights(recipe: str) -> None:
    shares = read_parameters(RECIPES / f"{recipe}.yaml").values["pack"]["mixture"]
    weights = [share["weight"] for share in shares]
    order = np.asarray(Mixture.of(weights).order)
    twice, whole = np.concatenate([order, order]), sum(weights)
    numbers = np.arange(len(twice) + 1)
    for source, weight in enumerate(weights):
        counts = np.concatenate([[0], np.cumsum(twice == source)])
        assert (np.abs(counts * whole - numbers * weight) < whole).all()  # whole numbers: nothing is rounded
        assert (np.abs((counts[1000:] - counts[:-1000]) * whole - 1000 * weight) <= whole).all()
        assert counts[len(order)] * whole == len(order) * weight
