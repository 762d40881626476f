"""What `components.tokenizers` promises: one vocabulary, and every file says the same of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import InputError
from components.expand.vocabulary.sentencepiece import append_pieces
from components.tokenizers.conversion import build_fast_tokenizer, write_fast_tokenizer
from components.tokenizers.load import load_tokenizer
from components.tokenizers.sentencepiece import NORMAL, SPACE, USER_DEFINED, cut, tokenizer_of
from tests.support.builders.vocabularies import ENGLISH, JAPANESE, tiny_proto, train_proto, write_tokenizer

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


@settings(max_examples=50, deadline=None)
@given(st.lists(ANY_TEXT | LIKELY_TEXT, max_size=8))
def test_document_is_the_text_between_bos_and_eos_on_the_fast_path_too(texts: list[str]) -> None:
    assert [ids.tolist() for ids in SLOW.encode_documents(texts)] == [[1, *SLOW.encode(text), 2] for text in texts]


LINES = st.lists(
    st.sampled_from([*ENGLISH, *JAPANESE, "", " ", "   x", "\t\r", "\n\n", "🦜", "\x00", "\u2581 \u2581"]),
    min_size=8, max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(lines=LINES)
def test_a_document_that_is_cut_up_at_line_ends_has_the_ids_of_the_whole(lines: list[str]) -> None:
    text = "\n".join(lines)
    for found, whole in zip(SLOW.encode_documents([text, "", text[::-1]]), (text, "", text[::-1]), strict=True):
        assert found.tolist() == [1, *SLOW.encode(whole), 2]
    assert "".join(cut(text)) == text
    assert all(part.startswith("\n") and len(part) >= 500 for part in cut(text)[1:-1])


def test_a_document_is_left_whole_where_a_piece_reaches_across_a_line_end() -> None:
    proto = tiny_proto()
    proto.pieces.add(piece=".\n", score=-0.5, type=NORMAL)
    tokenizer, text = tokenizer_of(proto), "The river.\n" * 100
    assert tokenizer.encode_documents([text])[0].tolist() == [1, *tokenizer.encode(text), 2]
    assert tokenizer.encode(text).count(len(proto.pieces) - 1) == 100


def test_absent_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither tokenizer\.model nor tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b'{"version": 1}')
    with pytest.raises(InputError, match="not a SentencePiece model"):
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
    (user_defined(), "no user-defined or unused pieces .found: 1."),
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

# special tokens and chat

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]"
    "{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
CHAT = [
    {"role": "user", "content": "How many boats?"}, {"role": "assistant", "content": "Thirty-seven."},
    {"role": "user", "content": "And after noon?"},
]


def written(folder: Path, config: dict[str, Any], proto: Any = PROTO) -> Path:
    write_tokenizer(folder, proto)
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    write_fast_tokenizer(folder, 512)
    return folder


def test_chat_template_and_special_tokens_survive_and_stand_around_a_chat(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    special = {str(n): {"content": piece, "special": True} for n, piece in enumerate(("<unk>", "<s>", "</s>"))}
    config = {
        "tokenizer_class": "LlamaTokenizer", "chat_template": TEMPLATE, "pad_token": "</s>", "padding_side": "left",
        "added_tokens_decoder": special, "legacy": True, "sp_model_kwargs": {}, "bos_token": {"content": "<s>"},
    }
    auto = AutoTokenizer.from_pretrained(written(tmp_path, config))
    assert (auto.chat_template, auto.pad_token, auto.padding_side) == (TEMPLATE, "</s>", "left")
    ids = auto.apply_chat_template(CHAT, return_dict=False)
    turns = SLOW.encode("[INST] How many boats? [/INST]Thirty-seven."), SLOW.encode("[INST] And after noon? [/INST]")
    assert ids == [1, *turns[0], 2, *turns[1]]


def test_chat_is_split_the_same_by_the_enlarged_vocabulary(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    enlarged = append_pieces(PROTO, ["橋", "雨"])
    one = AutoTokenizer.from_pretrained(written(tmp_path / "base", {"chat_template": TEMPLATE}))
    two = AutoTokenizer.from_pretrained(written(tmp_path / "enlarged", {"chat_template": TEMPLATE}, enlarged))
    assert one.apply_chat_template(CHAT, return_dict=False) == two.apply_chat_template(CHAT, return_dict=False)


def test_without_a_template_text_that_spells_a_special_token_stays_text(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(written(tmp_path, {}))
    assert auto("</s>", add_special_tokens=False)["input_ids"] == SLOW.encode("</s>")


@pytest.mark.parametrize(("bos", "eos"), [(True, False), (False, False), (True, True), (False, True)])
def test_frame_is_what_the_base_states(tmp_path: Path, bos: bool, eos: bool) -> None:
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(written(tmp_path, {"add_bos_token": bos, "add_eos_token": eos}))
    ids = SLOW.encode("boats")
    assert auto("boats")["input_ids"] == [1] * bos + ids + [2] * eos
    assert auto("boats", add_special_tokens=False)["input_ids"] == ids


def stated(specials: dict[str, str]) -> dict[str, Any]:
    return {"added_tokens_decoder": {number: {"content": text} for number, text in specials.items()}}


@pytest.mark.parametrize(("config", "words"), [
    (stated({"1": "<s>", "7": "<s>"}), r"'<s>' is stated 2 times, with the ids \[1, 7\]; one id was expected"),
    (stated({"9999": "<pad>"}), r"'<pad>' with the id 9,999, but tokenizer\.model has \d+ pieces"),
    (stated({"5": "</s>"}), r"'</s>' with the id 5, .* its id in tokenizer\.model, 2, was expected"),
    ({"pad_token": "<pad>"}, "'<pad>' with no id"),
    ({"extra_special_tokens": ["<img>"]}, "'<img>' with no id"),
    ({"extra_special_tokens": {"image_token": "<img>"}}, "'<img>' with no id"),
    ({"additional_special_tokens": "<img>"}, "additional_special_tokens is '<img>'; a list of tokens was expected"),
    ({"eos_token": "<s>"}, r"states eos_token '<s>', but that of tokenizer\.model is '</s>'"),
    ({"added_tokens_decoder": [{"content": "<s>"}]}, "added_tokens_decoder is not a JSON object"),
    (stated({"one": "<s>"}), "'one' is not an id of a special token"),
    ({"bos_token": {"lstrip": True}}, "its text was expected"),
])
def test_special_token_that_is_no_piece_or_two_is_refused(tmp_path: Path, config: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        written(tmp_path, config)


@pytest.mark.parametrize(("added", "words"), [
    ('{"<s>": 7}', r"'<s>' is stated 2 times, with the ids \[1, 7\]"),
    ('{"<pad>": 9999}', "added_tokens.json states .* '<pad>'"),
    ("{", "is not JSON"), ("[1]", "holds no JSON object"),
])
def test_added_tokens_that_contradict_the_model_or_are_none_are_refused(tmp_path: Path, added: str, words: str) -> None:
    (tmp_path / "added_tokens.json").write_text(added, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        written(tmp_path, stated({"1": "<s>"}))


def test_one_id_that_two_files_state_is_no_duplicate(tmp_path: Path) -> None:
    (tmp_path / "added_tokens.json").write_text('{"<s>": 1}', encoding="utf-8")
    assert load_tokenizer(written(tmp_path, stated({"1": "<s>"}))).bos == 1


def test_tokenizer_config_that_is_not_json_is_refused(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, PROTO)
    (tmp_path / "tokenizer_config.json").write_text("<html>", encoding="utf-8")
    with pytest.raises(InputError, match="is not JSON"):
        write_fast_tokenizer(tmp_path, 512)


def test_piece_that_occurs_twice_is_refused_with_both_ids(tmp_path: Path) -> None:
    proto = tiny_proto()
    proto.pieces[-1].piece = proto.pieces[-2].piece = "</s>"
    with pytest.raises(InputError, match=r"'</s>' occurs 3 times, with the ids \[2, \d+, \d+\]; once was expected"):
        load_tokenizer(write_tokenizer(tmp_path, proto))
