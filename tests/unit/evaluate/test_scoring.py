"""The scores of single answers are those that the published evaluation would have given."""

import pytest

from components.evaluate.scoring import char_f1, exact_match, similarity


@pytest.mark.parametrize(("output", "reference", "expected"), [
    # computed with fuzzywuzzy 0.18.0 and python-Levenshtein 0.21.1: token_sort_ratio(output, reference)
    ("富士山です", "富士山", 75),
    ("東京 大阪", "大阪 東京", 100),
    ("デブラ,イアン", "イアン,デブラ", 100),
    ("。", "", 100),
    ("", "札幌市", 0),
    ("4 本", "4本", 80),
    ("café", "cafe", 86),
    ("a_b", "a b", 67),
    ("UTF-8", "utf 8", 100),
    ("リーナス・トーバルズ", "リーナストーバルズ", 53),
    ("約88鍵", "88", 67),
    ("ab c", "abd", 57),
])
def test_char_f1_is_fuzzywuzzys_token_sort_ratio_in_whole_percent(output: str, reference: str, expected: int) -> None:
    assert similarity(output, reference) == expected / 100


def test_only_the_first_line_of_an_answer_counts_and_it_is_not_stripped() -> None:
    item = {"label": 3}
    assert exact_match(item, ["3\n4"]) == {"exact_match": 1.0}
    assert exact_match(item, ["\n3"]) == {"exact_match": 0.0}
    assert exact_match(item, [" 3"]) == {"exact_match": 0.0}


def test_full_width_digits_are_the_same_answer() -> None:
    assert exact_match({"label": 3}, ["３"]) == {"exact_match": 1.0}


def test_several_answers_are_one_reference_and_a_dash_is_none() -> None:
    assert char_f1({"answers": ["デブラ", "-", "イアン"]}, ["デブラ,イアン"]) == {"char_f1": 1.0}
    assert char_f1({"answers": ["デブラ", "イアン"]}, ["デブラ"]) == {"char_f1": 0.6}
