"""Near duplicates: the published probability, and an answer that depends on the order of the texts alone."""

import random
import subprocess
import sys

import numpy as np
import pytest

from components.clean.minhash import band_hashes, comparable, repeated, text_digest
from tests.support.builders.texts import JAPANESE

PAIRS = 1500
CHARACTERS = [chr(code) for code in range(0x4E00, 0x9FFF)]


def pair(shared: int, own: int, seed: int) -> tuple[str, str]:
    """Two texts with `shared` 5-grams in common and `own` each of their own: J = shared / (shared + 2 own)."""
    drawn = random.Random(seed).choices(CHARACTERS, k=shared + 4 + 2 * own)
    head, tails = drawn[: shared + 4], drawn[shared + 4 :]
    return "".join(head + tails[:own]), "".join(head + tails[own:])


def grams(text: str) -> set[str]:
    return {text[i : i + 5] for i in range(len(text) - 4)}


def share_a_band(one: str, other: str, bands: int, rows: int) -> bool:
    hashes = [band_hashes(text, ngram=5, bands=bands, rows=rows, seed=1) for text in (one, other)]
    return bool((hashes[0] == hashes[1]).any())


@pytest.mark.parametrize(("shared", "own", "jaccard", "bands", "rows"), [
    (360, 20, 0.9, 40, 20),  # the published setting: 0.994
    (360, 20, 0.9, 20, 20),  # half the bands: 0.925
    (320, 40, 0.8, 40, 20),  # 0.371
    (240, 80, 0.6, 40, 20),  # 0.001
])
def test_duplicates_are_found_with_the_published_probability(
    shared: int, own: int, jaccard: float, bands: int, rows: int
) -> None:
    one, other = pair(shared, own, 0)
    assert len(grams(one) & grams(other)) / len(grams(one) | grams(other)) == pytest.approx(jaccard)
    expected = 1 - (1 - jaccard**rows) ** bands
    found = sum(share_a_band(*pair(shared, own, seed), bands, rows) for seed in range(PAIRS)) / PAIRS
    deviation = (expected * (1 - expected) / PAIRS) ** 0.5
    assert found == pytest.approx(expected, abs=4 * deviation + 1 / PAIRS)


def test_the_hashes_are_the_same_in_another_process() -> None:
    code = (
        "from components.clean.minhash import band_hashes; from tests.support.builders.texts import JAPANESE; "
        "print(band_hashes(JAPANESE[0] * 2, 5, 40, 20, 1).tobytes().hex())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == band_hashes(JAPANESE[0] * 2, 5, 40, 20, 1).tobytes().hex()


def test_the_seed_changes_the_hashes() -> None:
    assert (band_hashes(JAPANESE[0], 5, 40, 20, 1) != band_hashes(JAPANESE[0], 5, 40, 20, 2)).all()


def test_width_and_white_space_make_no_difference() -> None:
    assert comparable("ＡＢＣ　ﾂﾊﾞﾒ\n\t1") == "ABC ツバメ 1"
    assert text_digest("春 が\n来た") == text_digest("春　が 来た ")
    assert text_digest("春が来た") != text_digest("春が来た。")


def test_a_text_shorter_than_an_ngram_has_bands_too() -> None:
    assert share_a_band("春", "春", 40, 20)
    assert not share_a_band("春", "秋", 40, 20)


def test_every_text_but_the_first_of_a_chain_is_a_duplicate() -> None:
    """The second shares one band with the first, the third another with the second: both have an earlier neighbour."""
    bands = np.array([[1, 2], [1, 3], [4, 3], [5, 6], [4, 7]], dtype=np.uint64)
    assert repeated(bands.T, len(bands)).tolist() == [False, True, True, False, True]


def test_equal_numbers_in_different_bands_are_no_match() -> None:
    assert repeated(np.array([[1, 2], [2, 1]], dtype=np.uint64).T, 2).tolist() == [False, False]
