"""Scores a model's output for an item, from 0 to 1; the task files name these functions.

`exact_match` and `char_f1` follow llm-jp-eval 1.1.1: output and reference are NFKC-normalised, only the output's first line
counts, and nothing is stripped.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from rapidfuzz import fuzz

LATIN_1 = dict.fromkeys(range(0x80, 0x100))


def exact_match(item: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, float]:
    """1 if the first line is the item's `label`, else 0."""
    return {"exact_match": float(first_line(outputs[0]) == normalise(str(item["label"])))}


def char_f1(item: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, float]:
    """`similarity` of the first line and the item's answers, which are joined by commas."""
    reference = ",".join(answer for answer in item["answers"] if answer != "-")
    return {"char_f1": similarity(first_line(outputs[0]), normalise(reference))}


def similarity(output: str, reference: str) -> float:
    """The `token_sort_ratio` of fuzzywuzzy 0.18 over python-Levenshtein, divided by 100: not a bag-of-characters F1.

    It is a whole number of hundredths, and 1 for two texts that hold only punctuation.
    """
    return round(fuzz.token_sort_ratio(words(output), words(reference))) / 100


def words(text: str) -> str:
    """The text as fuzzywuzzy prepares it: Latin-1's upper half dropped, all but word characters blanked, lower case.

    rapidfuzz's `default_process` is not used: it keeps Latin-1 and blanks the underscore.
    """
    return re.sub(r"\W", " ", text.translate(LATIN_1)).lower().strip()


def first_line(text: str) -> str:
    """The part before the first line break, after NFKC."""
    return normalise(text).split("\n")[0]


def normalise(text: str) -> str:
    """The text after NFKC."""
    return unicodedata.normalize("NFKC", text)
