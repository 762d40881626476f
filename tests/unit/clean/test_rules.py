"""Each quality rule rejects beyond its limit and not at it; the published limits are those of the recipe."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.clean import rules as r
from components.clean.rules import Rules, Text
from components.recipes import read_parameters
from tests.support.builders.texts import JAPANESE, prose

PUBLISHED: dict[str, Any] = {
    "minimum_document_characters": 400,
    "minimum_japanese_characters": 400,
    "maximum_duplicate_paragraph_fraction": 0.30,
    "maximum_duplicate_sentence_fraction": 0.30,
    "maximum_duplicate_paragraph_character_fraction": 0.20,
    "maximum_duplicate_sentence_character_fraction": 0.20,
    "maximum_top_ngram_fraction": {2: 0.20, 3: 0.18, 4: 0.16},
    "maximum_duplicate_ngram_type_fraction": {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10},
    "minimum_hiragana_fraction": 0.2,
    "maximum_katakana_fraction": 0.5,
    "minimum_japanese_fraction": 0.5,
    "minimum_mean_sentence_length": 20,
    "maximum_mean_sentence_length": 90,
    "maximum_sentence_length": 200,
    "maximum_ellipsis_sentence_fraction": 0.2,
    "maximum_ng_word_fraction": 0.05,
}
LAX: dict[str, Any] = {
    name: 0 if name.startswith("minimum") else {} if "ngram" in name else 10_000 if "sentence_length" in name else 1.0
    for name in PUBLISHED
}


def broken(text: str, *, ng_words: list[str] | None = None, **limits: Any) -> str | None:
    """The first rule broken where only the named limits bite."""
    return r.broken(Text(text), Rules.model_validate(LAX | limits), r.ng_pattern(ng_words or []))


def published(name: str) -> dict[str, Any]:
    return {name: PUBLISHED[name]}


def ending(count: int, whole: int, mark: str = "…") -> str:
    """`whole` sentences, one a line, of which `count` break off."""
    return "\n".join(["そうかもしれない" + mark] * count + ["そうではないと思う。"] * (whole - count))


@pytest.mark.parametrize(("rule", "kept", "rejected"), [
    ("minimum_document_characters", "あ" * 400, "あ" * 399),
    ("minimum_japanese_characters", "a" + "あ" * 400, "abc" + "あ" * 399),
    ("maximum_katakana_fraction", "カ" * 5 + "か" * 5, "カ" * 6 + "か" * 5),
    ("minimum_hiragana_fraction", "か" * 2 + "火" * 8, "か" * 2 + "火" * 9),
    ("minimum_japanese_fraction", "火" * 5 + "a" * 5, "火" * 5 + "a" * 6),
    ("minimum_mean_sentence_length", "あ" * 19 + "。", "あ" * 18 + "。"),
    ("maximum_mean_sentence_length", "あ" * 89 + "。", "あ" * 90 + "。"),
    ("maximum_sentence_length", "あ" * 199 + "。", "あ" * 200 + "。"),
    ("maximum_ellipsis_sentence_fraction", ending(2, 10), ending(3, 10)),
])
def test_a_limit_is_kept_at_it_and_broken_beyond_it(rule: str, kept: str, rejected: str) -> None:
    assert broken(kept, **published(rule)) is None
    assert broken(rejected, **published(rule)) == rule


def repeated(count: int, whole: int, length: int = 10, separator: str = "\n") -> str:
    """`whole` pieces of one length, of which `count` say again what the first said."""
    pieces = [chr(ord("一") + i) * (length - 1) + "。" for i in range(whole - count)]
    return separator.join(pieces[:1] * count + pieces)


@pytest.mark.parametrize(("rule", "kept", "rejected"), [
    ("maximum_duplicate_paragraph_fraction", repeated(3, 10), repeated(4, 10)),
    ("maximum_duplicate_sentence_fraction", repeated(3, 10, separator=""), repeated(4, 10, separator="")),
    ("maximum_duplicate_paragraph_character_fraction", repeated(2, 10), repeated(3, 10)),
    ("maximum_duplicate_sentence_character_fraction", repeated(2, 10, separator=""), repeated(3, 10, separator="")),
])
def test_repetition_is_kept_at_its_limit_and_broken_beyond_it(rule: str, kept: str, rejected: str) -> None:
    assert broken(kept, **published(rule)) is None
    assert broken(rejected, **published(rule)) == rule


def distinct(count: int) -> str:
    """So many different characters."""
    return "".join(chr(ord("一") + i) for i in range(count))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_commonest_ngram_is_kept_at_its_limit_and_broken_beyond_it(n: int) -> None:
    text = "あ" * (n + 17) + distinct(82)  # 18 times the same among 100 − … n-grams
    top, total = 18, len(text) - n + 1
    assert r.top_ngram_fraction(text, n) == pytest.approx(top / total)
    rule = "maximum_top_ngram_fraction"
    assert broken(text, **{rule: {n: top / total}}) is None
    assert broken(text, **{rule: {n: top / total - 1e-9}}) == rule


@pytest.mark.parametrize("n", [5, 6, 7, 8, 9, 10])
def test_ngrams_that_occur_again_are_kept_at_the_limit_and_broken_beyond_it(n: int) -> None:
    text = distinct(100) + distinct(n + 9)  # ten n-grams occur twice
    different = 100 - n + 1 + n - 1  # those of the hundred, and those across the seam
    assert r.duplicate_ngram_fraction(text, n) == pytest.approx(10 / different)
    rule = "maximum_duplicate_ngram_type_fraction"
    assert broken(text, **{rule: {n: 10 / different}}) is None
    assert broken(text, **{rule: {n: 10 / different - 1e-9}}) == rule


@pytest.mark.parametrize(("letters", "rejected"), [(4, False), (5, True)])
def test_ng_words_must_stay_below_their_limit(letters: int, rejected: bool) -> None:
    text = "悪" * letters + "良" * (100 - letters)
    found = broken(text, ng_words=["悪"], **published("maximum_ng_word_fraction"))
    assert (found == "maximum_ng_word_fraction") is rejected


def test_without_ng_words_no_text_is_rejected_for_them() -> None:
    assert broken("悪" * 100, **{"maximum_ng_word_fraction": 0.0}) is None


def test_the_longest_ng_word_counts_where_several_begin() -> None:
    pattern = r.ng_pattern(["悪", "悪い人", "悪い"])
    assert pattern is not None
    assert pattern.findall("悪い人は悪い、悪") == ["悪い人", "悪い", "悪"]


def test_sentences_end_at_marks_and_at_lines() -> None:
    assert Text("春が来た。風が吹く！本当?\n見出し\n\n終わり．").sentences == [
        "春が来た。", "風が吹く！", "本当?", "見出し", "終わり．"
    ]


def test_kana_kanji_and_punctuation_are_japanese_letters_and_nothing_else() -> None:
    assert Text("ぁゖァヺ々〇㐀鿿𠮷、，。．！？").japanese == 15
    assert Text("ーabc123!?,.「」 \n").japanese == 0


def test_a_text_without_any_letter_divides_by_nothing() -> None:
    assert broken("", **PUBLISHED) == "minimum_document_characters"
    for measure in (r.hiragana_fraction, r.katakana_fraction, r.japanese_fraction, r.mean_sentence_length,
                    r.ellipsis_fraction):
        assert measure(Text("")) == 0.0
    assert r.maximum_sentence_length(Text("")) == 0
    assert r.top_ngram_fraction("", 2) == r.duplicate_ngram_fraction("a", 5) == 0.0


def test_good_prose_breaks_no_published_rule() -> None:
    assert broken(prose(JAPANESE, 1, 18), **PUBLISHED) is None


@pytest.mark.parametrize("recipe", ["swallow-ms-7b", "swallow-mx-8x7b"])
def test_the_reference_recipes_apply_the_published_limits(recipe: str) -> None:
    path = Path(__file__).parents[3] / "recipes" / f"{recipe}.yaml"
    assert read_parameters(path).values["clean"]["rules"] == PUBLISHED


def test_a_share_above_one_is_no_limit() -> None:
    with pytest.raises(ValidationError, match="maximum_katakana_fraction"):
        Rules.model_validate(PUBLISHED | {"maximum_katakana_fraction": 50})
