"""What `components.formats.tokenizers` promises: one vocabulary, and every file says the same of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import InputError
from components.formats.fast_tokenizers import build_fast_tokenizer, write_fast_tokenizer
from components.formats.sentencepieces import NORMAL, SPACE, USER_DEFINED, tokenizer_of
from components.formats.tokenizers import load_tokenizer
from tests.vocabularies import ENGLISH, JAPANESE, tiny_proto, train_proto, write_tokenizer

PROTO = tiny_proto()
SLOW = tokenizer_of(PROTO)
FAST = build_fast_tokenizer(PROTO)
FAST.encode_special_tokens = True

PIECES = [piece.piece.replace(SPACE, " ") for piece in PROTO.pieces]


def bytes_of(character: str) -> list[int]:
    return [3 + byte for byte in character.encode()]


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
WHOLE_PIECE = st.integers(3 + 256, SLOW.pieces - 1).map(lambda id: [id])
WHOLE_CHARACTER = st.characters(exclude_categories=["Cs"], exclude_characters=" ").map(bytes_of)
LIKELY_TEXT = st.lists(st.sampled_from([*PIECES, " ", "  ", "\n", "\t", "\x00", "𠮷", "👩‍👧", "é"])).map("".join)


def ids_of(text: str) -> list[int]:
    ids: list[int] = FAST.encode(text, add_special_tokens=False).ids
    return ids


@settings(max_examples=400, deadline=None)
@given(ANY_TEXT | LIKELY_TEXT)
def test_fast_tokenizer_splits_any_text_as_sentencepiece_does(text: str) -> None:
    assert ids_of(text) == SLOW.encode(text)


@settings(max_examples=400, deadline=None)
@given(ANY_TEXT | LIKELY_TEXT)
def test_text_survives_the_round_trip_through_either_tokenizer(text: str) -> None:
    text = text.replace(SPACE, " ")  # the one character that a SentencePiece model cannot tell from a space
    assert SLOW.decode(SLOW.encode(text)) == text
    assert FAST.decode(ids_of(text)) == text


@settings(max_examples=400, deadline=None)
@given(st.lists(WHOLE_PIECE | WHOLE_CHARACTER))
def test_any_ids_whose_bytes_are_whole_characters_decode_to_the_same_text(ids: list[list[int]]) -> None:
    flat = [id for group in ids for id in group]
    assert FAST.decode(flat) == SLOW.decode(flat)


@pytest.mark.parametrize("length", range(1, 70))
def test_runs_of_spaces_with_one_score_split_alike(length: int) -> None:
    for text in (" " * length, "a" + " " * length, " " * length + "a", f"if x:\n{' ' * length}return"):
        assert ids_of(text) == SLOW.encode(text)


def test_without_a_dummy_prefix_no_space_is_put_in_front() -> None:
    proto = train_proto(ENGLISH, 400, add_dummy_prefix=False)
    fast, slow = build_fast_tokenizer(proto), tokenizer_of(proto)
    for text in (*ENGLISH, *JAPANESE, "", " the", "the"):
        ids = fast.encode(text, add_special_tokens=False).ids
        assert ids == slow.encode(text)
        assert fast.decode(ids) == text


def test_bos_stands_in_front_only_where_special_tokens_are_asked_for() -> None:
    assert FAST.encode("the barn").ids == [SLOW.bos, *SLOW.encode("the barn")]
    assert FAST.encode("", add_special_tokens=True).ids == [SLOW.bos]


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [write_tokenizer(tmp_path / name, PROTO) for name in ("one", "two")]
    for folder in folders:
        write_fast_tokenizer(folder, 512)
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == two
    assert sorted(one) == ["special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json"]
    assert json.loads(one["tokenizer_config.json"])["model_max_length"] == 512


def test_loaded_tokenizer_knows_its_size_and_its_ends(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write_tokenizer(tmp_path, PROTO))
    assert (tokenizer.pieces, tokenizer.bos, tokenizer.eos) == (len(PROTO.pieces), 1, 2)


def test_absent_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither tokenizer\.model nor tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b'{"version": 1}')
    with pytest.raises(InputError, match="no SentencePiece model"):
        load_tokenizer(tmp_path)


def user_defined() -> Any:
    proto = tiny_proto()
    proto.pieces.add(piece="[sep]", score=0.0, type=USER_DEFINED)
    return proto


@pytest.mark.parametrize(("proto", "lack"), [
    (train_proto(ENGLISH, 320, model_type="unigram"), "BPE, not unigram"),
    (train_proto(ENGLISH, 320, normalization_rule_name="nfkc"), "no normalisation"),
    (train_proto(ENGLISH, 320, byte_fallback=False), "byte fallback"),
    (train_proto(ENGLISH, 320, remove_extra_whitespaces=True), "spaces kept as they are"),
    (user_defined(), "no user-defined pieces"),
], ids=["unigram", "nfkc", "no bytes", "squeezed spaces", "user-defined"])
def test_tokenizer_of_another_family_is_refused_with_what_it_lacks(tmp_path: Path, proto: Any, lack: str) -> None:
    with pytest.raises(InputError, match=lack):
        write_fast_tokenizer(write_tokenizer(tmp_path, proto), 512)


def test_vocabulary_whose_tied_scores_split_differently_is_refused(tmp_path: Path) -> None:
    """SentencePiece joins the leftmost of tied pairs, zy; a list of merges has to prefer one of them wherever it is."""
    proto = tiny_proto()
    known = {piece.piece for piece in proto.pieces}
    for piece, score in (("zy", -5000.0), ("yx", -5000.0), ("xw", -6000.0), ("zyxw", -7000.0)):
        proto.pieces.add(piece=piece, score=score, type=NORMAL)
    for character in sorted(set("wxyz") - known):
        proto.pieces.add(piece=character, score=-8000.0, type=NORMAL)
    with pytest.raises(InputError, match="cannot be expressed"):
        write_fast_tokenizer(write_tokenizer(tmp_path, proto), 512)
