"""Which pieces `expand` chooses: guaranteed characters, merges that text can reach, nothing old disturbed."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.data.documents import Document, write_documents
from components.errors import EmptyCorpus, InputError, ParameterError
from components.expand.growth import Growth, TrainingText
from components.expand.vocabulary.candidates import Candidates, find_candidates, guaranteed_characters, train_pieces
from components.expand.vocabulary.corpus import WORD_BORDER, budgets, runs_of, sample, training_lines, training_texts
from components.expand.vocabulary.sentencepiece import SentencePieceVocabulary, append_pieces, split
from components.tokenizers.japanese_scripts import count_characters
from components.tokenizers.sentencepiece import NORMAL, SPACE, tokenizer_of, without_prefix
from tests.support.builders.vocabularies import ENGLISH, JAPANESE, tiny_proto

PROTO = tiny_proto()
PIECES = len(PROTO.pieces)
SCORES = {piece.piece: piece.score for piece in PROTO.pieces if piece.type == NORMAL}
PIECE_TEXT = st.sampled_from(sorted(SCORES))
BARE = tokenizer_of(without_prefix(PROTO))
BASE = SentencePieceVocabulary(PROTO)
KANA = {"hiragana": 83, "katakana": 88, "kanji": None}
GROWTH: dict[str, Any] = {
    "pieces": 800, "multiple_of": 16, "padding_rows": 0, "base_padding_rows": 0,
    "text": [{"text": "ja/*", "weight": 1.0}], "maximum_characters": 10_000, "segmentation": None, "trained_pieces": 500,
    "character_coverage": 1.0, "characters": {"hiragana": None, "katakana": None, "kanji": None},
    "initialise": {"kind": "mean_of_subpieces"}, "seed": 1,
}


def document(number: int, text: str) -> Document:
    return Document(id=f"{number:016x}", source="essays", language="ja", uri=f"essay:{number}", text=text)


def growth(**changes: Any) -> Growth:
    return Growth.model_validate(GROWTH | changes)


def chosen(characters: str, merges: list[str], room: int, base: Any = PROTO) -> list[str]:
    return SentencePieceVocabulary(base).choose(Candidates(tuple(characters), tuple(merges)), room)


# what is wanted

def test_training_twice_gives_the_same_pieces() -> None:
    assert train_pieces(JAPANESE, 500, 1.0) == train_pieces(JAPANESE, 500, 1.0)


def test_candidates_hold_japanese_and_neither_ascii_nor_spaces() -> None:
    text = [f"「読む」→ {SPACE}帰る3時é――、が" * 30, *JAPANESE]
    found = find_candidates(growth(), text, set())
    assert all(len(piece) == 1 for piece in found.characters)
    assert not [piece for piece in (*found.characters, *found.merges) if set(piece) & {SPACE, "3"}]
    assert "読む" in found.merges
    assert "→" not in found.characters


def test_every_kana_is_guaranteed_whether_the_text_has_it_or_not() -> None:
    found = find_candidates(growth(characters=KANA), JAPANESE, set())
    assert count_characters(found.characters)["hiragana"] == 83
    assert count_characters(found.characters)["katakana"] == 88
    assert "ゐ" in found.characters
    assert not {"ゝ", "ゞ", "ヽ", "ゔ"} & set(found.characters)


def test_target_counts_the_bases_characters_and_takes_the_most_frequent_ties_by_code_point() -> None:
    frequencies = Counter("橋橋橋舟舟雨雨川")
    base = {"橋", "a", "ア"}
    targets: dict[str, int | None] = {"hiragana": None, "katakana": None, "kanji": 3}
    assert guaranteed_characters(targets, frequencies, base) == ["舟", "雨"]
    assert guaranteed_characters(targets | {"kanji": 1}, frequencies, base) == []
    assert guaranteed_characters(targets | {"katakana": 3}, frequencies, base)[:2] == ["ァ", "ィ"]


def test_target_below_the_bases_characters_states_both() -> None:
    with pytest.raises(ParameterError, match=r"characters\.kanji is 1, but the base model knows 2 already"):
        guaranteed_characters({"kanji": 1}, Counter(), {"橋", "舟"})


def test_target_that_the_text_cannot_meet_states_how_many_it_has() -> None:
    with pytest.raises(EmptyCorpus, match=r"kanji asks for 9; the base model has 1 and the text 2 more\. Lower it to 3"):
        guaranteed_characters({"kanji": 9}, Counter("橋舟雨"), {"橋"})


def test_with_mecab_no_merge_crosses_a_word() -> None:
    lines = list(training_lines(["橋の上で雨を待つ。"], "mecab"))
    assert lines == [WORD_BORDER.join(["橋", "の", "上", "で", "雨", "を", "待つ", "。"])]
    text = ["橋の上で雨を待つ。"] * 50
    free, bound = (find_candidates(growth(segmentation=name, trained_pieces=301), text, set()) for name in (None, "mecab"))
    assert "橋の" in "".join(free.merges)
    assert bound.merges == ("待つ",)


def test_character_beyond_a_target_is_no_candidate() -> None:
    found = find_candidates(growth(characters=KANA | {"kanji": 1}), ["橋橋橋舟" * 20], set())
    assert [char for char in found.characters if char in "橋舟"] == ["橋"]


# the choice

@settings(max_examples=300, deadline=None)
@given(st.text(sorted(piece for piece in SCORES if len(piece) == 1), max_size=40) | st.lists(PIECE_TEXT).map("".join))
def test_reachability_is_judged_by_the_very_splitting_of_sentencepiece(text: str) -> None:
    assert split(text, SCORES) == BARE.processor.encode(text, out_type=str)


def test_characters_come_before_merges_and_every_character_of_a_merge_has_a_piece() -> None:
    merges = ["試験", "職人"]
    assert chosen("試験職人", merges, 4) == ["試", "験", "職", "人"]
    assert chosen("試験職人", merges, 5) == ["試験", "試", "験", "職", "人"]
    assert chosen("試験", merges, 9) == ["試験", "試", "験"]


def test_piece_of_the_base_is_not_added_again() -> None:
    present = next(piece for piece in SCORES if len(piece) == 1 and piece in JAPANESE[0])
    assert chosen(present + "橋", [], 9) == ["橋"]


def test_piece_that_older_merges_forestall_is_left_out() -> None:
    merges, letters = ["橋舟", "雨川", "橋舟雨川"], "橋舟雨川"
    assert chosen("", merges, 9, append_pieces(PROTO, list(letters))) == merges
    assert chosen("", merges, 9, append_pieces(PROTO, [*letters, "舟雨"])) == ["橋舟", "雨川"]  # 橋 舟雨 川


def test_base_pieces_keep_id_score_and_type_and_new_scores_fall_strictly_in_float32() -> None:
    added = [chr(0x4E00 + place) for place in range(10_800)]
    merged = append_pieces(PROTO, added)
    assert [piece.SerializeToString() for piece in merged.pieces[:PIECES]] == [
        piece.SerializeToString() for piece in PROTO.pieces
    ]
    assert merged.normalizer_spec == PROTO.normalizer_spec
    scores = np.array([piece.score for piece in merged.pieces[PIECES:]], dtype=np.float32)
    lowest = min(piece.score for piece in PROTO.pieces if piece.score > -1e8)
    assert (np.diff(scores) < 0).all()
    assert -1e8 < scores.min() < scores.max() < lowest


def test_scores_that_float32_cannot_tell_apart_are_refused() -> None:
    base = tiny_proto()
    base.pieces[-20].score = -(2.0**24) + 1
    with pytest.raises(InputError, match="not exact in float32"):
        append_pieces(base, ["橋", "舟"])


def test_facts_name_the_normaliser_and_the_scores() -> None:
    facts = BASE.facts(["橋", "舟"])
    assert facts["normalizer"]["name"] == "identity"
    assert facts["scores"]["first"] - facts["scores"]["last"] == 1


# the text

def test_sample_does_not_depend_on_the_order_of_the_files() -> None:
    documents = [document(number, f"{number}番目の舟が橋をくぐる。" * 3) for number in range(50)]
    forwards, backwards = (list(sample(order, 200, seed=1)) for order in (documents, documents[::-1]))
    assert forwards == backwards
    assert forwards != list(sample(documents, 200, seed=2))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("舟橋雨", max_size=40)), st.integers(1, 300))
def test_sample_takes_exactly_what_it_may_and_only_whole_documents_but_the_last(texts: list[str], limit: int) -> None:
    documents = [document(number, text) for number, text in enumerate(texts)]
    taken = list(sample(documents, limit, seed=1))
    whole = list(sample(documents, 10**9, seed=1))
    assert sum(map(len, taken)) == min(limit, sum(map(len, texts)))
    assert sorted(whole) == sorted(texts)
    assert "".join(taken) == "".join(whole)[:limit]


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8), st.integers(0, 10**9))
def test_budgets_add_up_and_are_within_one_of_the_weights(weights: list[float], total: int) -> None:
    shares = budgets(weights, total)
    assert sum(shares) == total
    assert all(abs(share - weight / sum(weights) * total) < 1.01 for share, weight in zip(shares, weights, strict=True))


def test_sources_are_sampled_by_weight_and_a_small_one_gives_all(tmp_path: Path) -> None:
    for source, text in (("essays", "橋" * 100), ("letters", "舟" * 100), ("notes", "雨" * 5)):
        write_documents(tmp_path / f"train/ja/{source}.jsonl.gz", [document(1, text)])
    shares = [TrainingText(text=f"ja/{name}", weight=weight) for name, weight in (("essays", 3), ("letters", 1), ("notes", 4))]
    taken = training_texts(tmp_path, shares, 80, seed=1)
    assert {pattern: sum(map(len, texts)) for pattern, texts in taken.items()} == {
        "ja/essays": 30, "ja/letters": 10, "ja/notes": 5,
    }


def test_training_text_is_nfkc_without_ascii_and_spaces(tmp_path: Path) -> None:
    text = "ﾂﾊﾞﾒが１２羽、barn へ\n㍻の春に\u3000帰る。"
    write_documents(tmp_path / "train/ja/essays.jsonl.gz", [document(1, text)])
    texts = training_texts(tmp_path, [TrainingText(text="ja/*", weight=1)], 1000, 1)
    assert list(runs_of(texts["ja/*"])) == ["ツバメが", "羽、", "へ", "平成の春に", "帰る。"]


def test_run_longer_than_the_trainer_accepts_is_cut_and_not_skipped() -> None:
    assert [len(run) for run in runs_of(["舟" * 2500])] == [1000, 1000, 500]


# the fields

def test_vocabulary_that_is_no_multiple_is_refused_with_its_neighbours() -> None:
    with pytest.raises(ValidationError, match="Take 42,800 or 42,808 pieces"):
        growth(pieces=42_801, multiple_of=8)


def test_padding_rows_count_towards_the_multiple() -> None:
    assert growth(pieces=42_801, padding_rows=7, multiple_of=8).pieces == 42_801
    with pytest.raises(ValidationError, match=r"padding_rows: 6 is not a multiple"):
        growth(pieces=42_801, padding_rows=6, multiple_of=8)


def test_source_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="add the weights up"):
        growth(text=[{"text": "ja/*", "weight": 1}, {"text": "ja/*", "weight": 2}])


def test_english_sentences_alone_give_no_candidates() -> None:
    with pytest.raises(InputError):
        find_candidates(growth(), ENGLISH, set())
