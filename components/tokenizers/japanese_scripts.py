"""Counts characters of each Japanese script by Unicode block, as Swallow's announcement counts them."""

import re
from collections import Counter
from collections.abc import Iterable

BLOCKS = {"hiragana": "\u3040-\u309f", "katakana": "\u30a0-\u30ff", "kanji": "\u4e00-\u9fff"}
"""The blocks Hiragana, Katakana and CJK Unified Ideographs, as ranges of a regular expression."""

JAPANESE = re.compile(
    "[\u3001-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
"""Punctuation, kana, kanji, and half-width and full-width forms."""


def block_of(character: str) -> str | None:
    """The name of the character's block; None if it is in none of the three."""
    return next((name for name, block in BLOCKS.items() if re.match(f"[{block}]", character)), None)


def count_characters(characters: Iterable[str]) -> dict[str, int]:
    """How many different hiragana, katakana and kanji there are."""
    counts = Counter(map(block_of, set(characters)))
    return {name: counts[name] for name in BLOCKS}
