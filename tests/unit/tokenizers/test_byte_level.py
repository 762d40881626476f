"""What the byte-level family promises: read as it is or refused, enlarged without touching what it was."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from components.errors import InputError
from components.expand.vocabulary.byte_level import ByteLevelVocabulary
from components.expand.vocabulary.candidates import Candidates, train_pieces
from components.expand.vocabulary.corpus import runs_of
from components.tokenizers.byte_level import ALPHABET, ByteLevelTokenizer, backend_of, bytes_of, read_byte_level, spell
from components.tokenizers.japanese_scripts import JAPANESE as SCRIPT
from components.tokenizers.load import load_tokenizer
from tests.support.builders import byte_levels
from tests.support.builders.byte_levels import ENGLISH, FAMILIES, JAPANESE, small, write

ROOM = 700
TRAINED = train_pieces(runs_of(JAPANESE), 1500, 1.0)
WANTED = Candidates(
    tuple(piece for piece in TRAINED if len(piece) == 1 and SCRIPT.match(piece)),
    tuple(piece for piece in TRAINED if len(piece) > 1 and SCRIPT.search(piece)),
)
HERE = Path("tokenizer.json")


def tokenizer(specification: dict[str, Any], lacks: frozenset[int] = frozenset()) -> ByteLevelTokenizer:
    ids = [*specification["model"]["vocab"].values(), *(token["id"] for token in specification["added_tokens"])]
    normalization = "NFC" if specification["normalizer"] else None
    return ByteLevelTokenizer(max(ids) + 1, None, None, backend_of(specification, HERE), normalization, lacks)


BASES = {family: small(family) for family in FAMILIES}
VOCABULARIES = {family: ByteLevelVocabulary(base, HERE) for family, base in BASES.items()}
ADDED = {family: vocabulary.choose(WANTED, ROOM) for family, vocabulary in VOCABULARIES.items()}
BEFORE = {family: tokenizer(base) for family, base in BASES.items()}
AFTER = {family: tokenizer(VOCABULARIES[family].enlarged(ADDED[family])) for family in FAMILIES}

every_family = pytest.mark.parametrize("family", FAMILIES)
PIECES = sorted({text for family in FAMILIES for p in ADDED[family] if (text := VOCABULARIES[family].text_of(p)) is not None})
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LIKELY = [*PIECES, *ENGLISH, " ", "\n", "間", "<|im_end|>", "e\u0301", "𠮷", "👩‍👧"]
LIKELY_TEXT = st.lists(st.sampled_from(LIKELY)).map("".join)
NO_JAPANESE = ANY_TEXT.map(lambda text: re.sub(f"{SCRIPT.pattern}|\u3000", "", text))


def choose(family: str, characters: str, merges: tuple[str, ...] = (), room: int = 100) -> list[str | None]:
    """What the chosen pieces say; None for leading bytes."""
    vocabulary = VOCABULARIES[family]
    return [vocabulary.text_of(piece) for piece in vocabulary.choose(Candidates(tuple(characters), merges), room)]


# what is read

def test_letters_for_bytes_are_those_of_the_library() -> None:
    assert sorted(ALPHABET.values()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    for text in (*ENGLISH, *JAPANESE, "".join(map(chr, range(256)))):
        (word,) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
        assert (spell(text.encode()), bytes_of(word[0])) == (word[0], text.encode())


@every_family
def test_loaded_tokenizer_knows_its_size_and_its_ends(family: str, tmp_path: Path) -> None:
    loaded = load_tokenizer(write(tmp_path, BASES[family]))
    ids = {token["content"]: token["id"] for token in BASES[family]["added_tokens"]}
    assert isinstance(loaded, ByteLevelTokenizer)
    assert (loaded.bos, loaded.eos) == (ids["<|endoftext|>"], ids["<|im_end|>"])
    assert loaded.pieces == {"smollm": 480, "llama": 480, "qwen": 481}[family]
    assert (loaded.normalization, loaded.lacks) == ("NFC" if family == "qwen" else None, frozenset())


def test_tokenizer_without_bos_has_none(tmp_path: Path) -> None:
    assert read_byte_level(write(tmp_path, small("qwen"), bos_token=None)).bos is None
    (tmp_path / "tokenizer_config.json").unlink()
    assert read_byte_level(tmp_path).eos is None


@every_family
def test_text_that_spells_a_special_token_is_text(family: str) -> None:
    ids = BEFORE[family].encode("a<|im_end|>b")
    assert max(ids) < 480 - 3 or family == "smollm"
    assert min(ids) > 2 or family != "smollm"
    assert BEFORE[family].decode(ids) == "a<|im_end|>b"


def test_limits_and_padding_that_were_saved_with_a_tokenizer_do_not_cut_a_corpus(tmp_path: Path) -> None:
    base = small("smollm")
    base["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    base["padding"] = {
        "strategy": {"Fixed": 900}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }
    loaded = read_byte_level(write(tmp_path, base))
    assert loaded.encode(ENGLISH[0]) == BEFORE["smollm"].encode(ENGLISH[0])


def without_bytes(*absent: int) -> dict[str, Any]:
    """A base whose vocabulary never had these bytes, as SmolLM2's lacks some control characters."""
    base = small("llama")
    names = [name for name in base["model"]["vocab"] if name not in {ALPHABET[byte] for byte in absent}]
    base["model"]["vocab"] = {name: number for number, name in enumerate(names)}
    for token in base["added_tokens"]:
        token["id"] -= len(absent)
    return base


def test_control_characters_that_the_base_lacks_are_stated_and_lost(tmp_path: Path) -> None:
    loaded = read_byte_level(write(tmp_path, without_bytes(0x04, 0xFF)))
    assert loaded.lacks == {0x04, 0xFF}
    assert loaded.decode(loaded.encode("one\x04 two")) == "one two"


# what is refused

def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(base: dict[str, Any]) -> None:
        *parents, key = path.split(".")
        for parent in parents:
            base = base[parent]
        base[key] = value

    return apply


METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
REMOVING = byte_levels.SPLIT | {"behavior": "Removed"}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


@pytest.mark.parametrize(("alter", "words"), [
    (change("model", {"type": "Unigram", "vocab": [["a", 0.0]]}), "its model is 'Unigram'"),
    (change("model", {"type": "WordPiece", "vocab": {"a": 0}}), "its model is 'WordPiece'"),
    (change("model", {"vocab": {"a": 0}}), "its model is 'without a type'"),
    (change("model.vocab", {"a": 0, "▁a": 1}), r"a piece for each byte of text \(without one: 0x09, 0x0A, 0x0D, 0x20 and 205"),
    (change("pre_tokenizer", METASPACE), r"a ByteLevel pre-tokenizer, alone or after Split and Digits \(found: Metaspace\)"),
    (change("pre_tokenizer", None), r"a ByteLevel pre-tokenizer, .* \(found: none\)"),
    (change("pre_tokenizer", sequence(BYTE_LEVEL, byte_levels.DIGITS)), "found: ByteLevel, Digits"),
    (change("pre_tokenizer", BYTE_LEVEL | {"add_prefix_space": True}), "no space put in front of text"),
    (change("pre_tokenizer", sequence(REMOVING, BYTE_LEVEL)), "text kept whole by every Split"),
    (change("decoder", METASPACE), "a ByteLevel decoder"),
    (change("normalizer", {"type": "Lowercase"}), "no normaliser, or NFC"),
    (change("model.dropout", 0.1), "no dropout"),
    (change("model.byte_fallback", True), "no byte_fallback"),
    (change("model.end_of_word_suffix", "</w>"), "no marks on parts of words"),
])
def test_tokenizer_of_another_family_is_refused_with_what_it_lacks(alter: Any, words: str, tmp_path: Path) -> None:
    base = small("smollm")
    alter(base)
    with pytest.raises(InputError, match=words):
        read_byte_level(write(tmp_path, base))


def test_base_without_a_byte_of_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"without one: 0xE6\)"):
        read_byte_level(write(tmp_path, without_bytes(0xE6)))


@pytest.mark.parametrize(("tokens", "words"), [
    ([("<|one|>", 477), ("<|one|>", 478)], r"'<\|one\|>' is there 2 times, once was expected"),
    ([("<|one|>", 477), ("<|two|>", 477)], r"id 477 belongs to '<\|one\|>' and to '<\|two\|>'"),
    ([("er", 477)], r"'er' has id 477, but \d+ in the vocabulary"),
    ([("<|one|>", 33)], r"id 33 belongs to '.' and to '<\|one\|>'"),
    ([("<|one|>", 477), ("<|two|>", 480)], "479 pieces have ids up to 480, and the first id without a piece is 478"),
], ids=["twice", "one id", "another id", "taken id", "gap"])
def test_ids_that_contradict_each_other_are_refused(tokens: list[tuple[str, int]], words: str, tmp_path: Path) -> None:
    base = small("llama")
    example = base["added_tokens"][0]
    base["added_tokens"] = [example | {"content": content, "id": number} for content, number in tokens]
    with pytest.raises(InputError, match=words):
        read_byte_level(write(tmp_path, base))


def test_bos_that_is_no_piece_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bos_token is '<s>', which is not a piece of tokenizer\.json"):
        read_byte_level(write(tmp_path, small("llama"), bos_token="<s>"))  # noqa: S106 (a token of text)


def test_special_token_for_which_the_model_has_no_row_is_refused(tmp_path: Path) -> None:
    model = write(tmp_path, small("llama"))
    (model / "tokenizer_config.json").write_text('{"extra_special_tokens": ["<img>"]}', encoding="utf-8")
    with pytest.raises(InputError, match=r"'<img>' with no id, but tokenizer\.json has \d+ pieces"):
        ByteLevelVocabulary.of(model)


@pytest.mark.parametrize(("content", "words"), [
    (None, "does not exist"), ("{", "is not JSON"), ("[]", "is not a tokenizer"),
    (json.dumps(small("qwen") | {"model": BASES["qwen"]["model"] | {"merges": [["zzz", "y"]]}}), "can be loaded"),
    (json.dumps(small("qwen") | {"added_tokens": [{"id": 0}]}), "can be loaded"),
    (json.dumps(small("qwen") | {"normalizer": 7}), "can be loaded"),
], ids=["absent", "cut off", "a list", "a merge of nothing", "a token without text", "a number for a normaliser"])
def test_file_that_is_no_tokenizer_is_refused(content: str | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_byte_level(tmp_path)


def test_model_with_a_sentencepiece_tokenizer_is_sent_to_the_other_kind(tmp_path: Path) -> None:
    (write(tmp_path, small("llama")) / "tokenizer.model").touch()
    with pytest.raises(InputError, match="kind: sentencepiece"):
        ByteLevelVocabulary.of(tmp_path)


# what is chosen

@every_family
@pytest.mark.parametrize("room", [1, 2, 3, 50, 333, ROOM])
def test_room_is_filled_exactly_with_new_and_different_pieces(family: str, room: int) -> None:
    added = VOCABULARIES[family].choose(WANTED, room)
    assert len(added) == len(set(added)) == room
    assert not set(added) & VOCABULARIES[family].ids.keys()


@every_family
def test_every_piece_is_what_its_text_splits_into(family: str) -> None:
    vocabulary = VOCABULARIES[family]
    texts = {number: vocabulary.text_of(piece) for number, piece in enumerate(ADDED[family], vocabulary.pieces)}
    said = {number: text for number, text in texts.items() if text is not None}
    assert len(said) > ROOM / 2
    assert [AFTER[family].encode(text) for text in said.values()] == [[number] for number in said]


@every_family
def test_every_wanted_character_becomes_one_piece_before_any_merge_is_taken(family: str) -> None:
    wanted = "".join(WANTED.characters)
    assert all(len(AFTER[family].encode(char)) == 1 for char in wanted)
    assert [text for text in choose(family, wanted, WANTED.merges, 150) if text and len(text) > 1] == []


def test_leading_bytes_take_room_and_stand_before_the_characters_that_need_them() -> None:
    assert choose("llama", "鶴") == [None, "鶴"]
    assert choose("llama", "鶴鶏") == [None, "鶴", "鶏"], "both start with e9 b6"
    assert choose("llama", "𠮷") == [None, None, "𠮷"], "four bytes"
    assert choose("llama", "ぬ") == ["ぬ"], "the base joins e3 81 already"


def test_character_that_does_not_fit_with_its_leading_bytes_gives_way_to_one_that_does() -> None:
    assert choose("llama", "鶴ぬ", (), 1) == ["ぬ"]
    assert choose("llama", "鶴ぬ", ("です",), 1) == ["ぬ"]


@pytest.mark.parametrize("character", ["\u31f7", "￥", "…", "─", "é"])
def test_character_whose_leading_bytes_other_scripts_share_is_left_out(character: str) -> None:
    """e3 87 also leads strokes, ef bf also U+FFFD; the other three are not Japanese at all."""
    assert choose("llama", character) == []


def test_piece_that_the_base_cuts_into_words_is_left_out() -> None:
    characters, merges = "たす。「", ("す。", "「た", "。「", "です", "したで", "12です")
    assert choose("smollm", characters, merges)[-2:] == ["。「", "です"], "letters, or what are none"
    assert "「た" in choose("llama", characters, merges), "one sign may stand before letters"
    assert "す。" not in choose("llama", characters, merges)


def test_piece_that_normalisation_changes_is_left_out() -> None:
    assert choose("qwen", "\ufa19鶴") == [None, "鶴"], "NFC takes the compatibility form to the common one"
    assert choose("llama", "\ufa19") == [None, "\ufa19"]


def joined(family: str, *pairs: tuple[bytes, bytes]) -> dict[str, Any]:
    """The base with merges of its own at the end."""
    base, number = small(family), len(BASES[family]["model"]["vocab"])
    for token in base["added_tokens"]:
        token["id"] += len(pairs)
    for left, right in pairs:
        base["model"]["vocab"][spell(left + right)] = number
        base["model"]["merges"].append([spell(left), spell(right)])
        number += 1
    return base


@pytest.mark.parametrize("family", ["llama", "qwen"])
def test_merge_that_the_base_forestalls_is_left_out_even_where_whole_words_are_looked_up(family: str) -> None:
    """The base joins the end of ぬ to the start of the character after it, so that ぬぬ never comes about by merges."""
    tail, lead = "ぬ".encode()[2:], "ぬ".encode()[:2]
    vocabulary = ByteLevelVocabulary(joined(family, (tail, lead)), HERE)
    added = vocabulary.choose(Candidates(("ぬ", "た"), ("ぬぬ", "たぬ")), 10)
    assert [vocabulary.text_of(piece) for piece in added] == ["ぬ", "た", "たぬ"]


def spelt(text: str) -> list[bytes]:
    return [bytes([byte]) for byte in text.encode()]


def test_merge_of_a_character_without_a_piece_of_its_own_is_left_out() -> None:
    """The base has 鶴鶏 as a piece, and neither 鶴 nor 鶏."""
    lead, tail, last = "鶴".encode()[:2], "鶴".encode()[2:], "鶏".encode()[2:]
    base = joined("llama", (lead[:1], lead[1:]), (tail, lead), (lead, tail + lead), (lead + tail + lead, last))
    vocabulary = ByteLevelVocabulary(base, HERE)
    assert spell("鶴鶏".encode()) in vocabulary.ids
    added = vocabulary.choose(Candidates(("ぬ",), ("鶴鶏ぬ", "ぬぬ")), 10)
    assert [vocabulary.text_of(piece) for piece in added] == ["ぬ", "ぬぬ"]


def test_character_is_left_out_where_the_base_has_its_leading_bytes_and_never_joins_them() -> None:
    first, second, third, _ = spelt("𠮷")
    base = joined("llama", (first, second), (second, third), (first, second + third))
    assert ByteLevelVocabulary(base, HERE).choose(Candidates(("𠮷", "ぬ"), ()), 10) == [spell("ぬ".encode())]


def test_japanese_punctuation_may_be_led_by_the_bytes_that_lead_the_ideographic_space() -> None:
    vocabulary = ByteLevelVocabulary(byte_levels.train("llama", ENGLISH, 400), HERE)
    added = vocabulary.choose(Candidates(("、", "。"), ()), 10)
    assert added == [spell(text) for text in (b"\xe3\x80", "、".encode(), "。".encode())]


def test_piece_that_holds_a_token_of_the_base_is_left_out_and_the_room_is_filled_with_the_next() -> None:
    """An added token that is not special is cut out of text before anything is joined: only the tokenizer itself knows."""
    base = small("qwen")
    base["added_tokens"][-1]["content"] = "たぬ"
    vocabulary = ByteLevelVocabulary(base, HERE)
    wanted = Candidates(("た", "ぬ"), ("たぬ", "たぬた", "ぬた", "ぬたぬ"))
    assert [vocabulary.text_of(piece) for piece in vocabulary.choose(wanted, 3)] == ["た", "ぬ", "ぬた"]


def test_fewer_pieces_come_back_where_candidates_run_out() -> None:
    assert choose("llama", "鶴", ("鶴鶴", "の"), 100) == [None, "鶴", "鶴鶴"]


# what is written

@every_family
def test_base_stays_the_beginning_of_the_enlarged_vocabulary(family: str) -> None:
    base, enlarged = BASES[family], VOCABULARIES[family].enlarged(ADDED[family])
    old, new = base["model"], enlarged["model"]
    assert {key: value for key, value in base.items() if key != "model"} == {k: v for k, v in enlarged.items() if k != "model"}
    assert list(new["vocab"].items())[: len(old["vocab"])] == list(old["vocab"].items())
    assert new["merges"][: len(old["merges"])] == old["merges"]
    assert {type(merge) for merge in new["merges"]} == {str if family == "smollm" else list}
    assert {key: new[key] for key in old.keys() - {"vocab", "merges"}} == {k: old[k] for k in old.keys() - {"vocab", "merges"}}


def test_every_way_of_joining_a_piece_is_a_merge_and_the_longest_left_side_comes_first() -> None:
    vocabulary = VOCABULARIES["llama"]
    enlarged = vocabulary.enlarged(vocabulary.choose(Candidates(("ぬ", "た"), ("たぬ", "ぬた", "たぬた")), 5))
    said = [[vocabulary.text_of(part) for part in merge] for merge in enlarged["model"]["merges"][-4:]]
    assert said == [["た", "ぬ"], ["ぬ", "た"], ["たぬ", "た"], ["た", "ぬた"]]


@every_family
def test_special_tokens_keep_their_ids_in_the_library(family: str, tmp_path: Path) -> None:
    vocabulary, folder = VOCABULARIES[family], write(tmp_path / "base", BASES[family])
    vocabulary.write(folder, tmp_path / "new", ADDED[family])
    loaded, base = read_byte_level(tmp_path / "new"), read_byte_level(folder)
    assert (loaded.pieces, loaded.bos, loaded.eos) == (base.pieces + ROOM, base.bos, base.eos)
    assert loaded.backend.get_vocab_size() == loaded.pieces
    for token in BASES[family]["added_tokens"]:
        assert loaded.backend.token_to_id(token["content"]) == token["id"]


@every_family
def test_written_folder_holds_the_tokenizer_once_and_twice_the_same_bytes(family: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "base", BASES[family], tokenizer_class="GPT2Tokenizer", padding_side="left")
    (folder / "vocab.json").write_text("{}", encoding="utf-8")
    for name in ("one", "two"):
        vocabulary = ByteLevelVocabulary.of(folder)
        vocabulary.write(folder, tmp_path / name, vocabulary.choose(WANTED, ROOM))
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert sorted(one) == ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]
    before, after = (json.loads((tmp_path / name / "tokenizer_config.json").read_text()) for name in ("base", "one"))
    assert after == before | {"tokenizer_class": "PreTrainedTokenizerFast"}


def test_base_whose_special_token_would_become_a_word_of_text_is_refused() -> None:
    base = small("llama")
    base["added_tokens"][0]["content"] = "pad"
    with pytest.raises(InputError, match="special token 'pad' is a word that text may hold"):
        ByteLevelVocabulary(base, HERE)


@every_family
@settings(max_examples=80, deadline=None)
@given(text=NO_JAPANESE | st.lists(st.sampled_from(ENGLISH)).map("\n".join))
def test_text_without_a_japanese_character_is_split_as_before(family: str, text: str) -> None:
    assert AFTER[family].encode(text) == BEFORE[family].encode(text)


@every_family
@settings(max_examples=80, deadline=None)
@given(text=ANY_TEXT | LIKELY_TEXT)
def test_text_survives_the_round_trip_up_to_the_normalisation_of_the_base(family: str, text: str) -> None:
    normalizer = AFTER[family].backend.normalizer
    kept = text.replace("<think>", "")  # a token, though not a special one
    expected = normalizer.normalize_str(kept) if normalizer else kept
    assert AFTER[family].decode(AFTER[family].encode(kept)) == expected


@every_family
def test_subpieces_are_the_base_ids_of_the_text_and_of_leading_bytes_those_of_the_bytes(family: str) -> None:
    vocabulary, added = VOCABULARIES[family], ADDED[family]
    names = {number: name for name, number in vocabulary.ids.items()}
    for piece, subpieces in zip(added, vocabulary.subpieces(added), strict=True):
        text = vocabulary.text_of(piece)
        assert "".join(names[number] for number in subpieces) == piece
        assert len(subpieces) > 1
        assert text is None or subpieces == BEFORE[family].encode(text)


def test_facts_tell_leading_bytes_and_merges() -> None:
    vocabulary = VOCABULARIES["llama"]
    facts = vocabulary.facts(vocabulary.choose(Candidates(("鶴", "鶏"), ("鶴鶏",)), 10))
    assert facts == {
        "normalizer": None, "merges": {"base": len(BASES["llama"]["model"]["merges"]), "added": 4},
        "leading_bytes": ["e9b6"], "bytes_without_a_piece": [],
    }


def test_characters_of_the_base_are_those_with_a_piece_of_their_own() -> None:
    characters = VOCABULARIES["llama"].characters()
    assert {"の", "。", "a", " "} <= characters
    assert not {"鶴", "é", "<|im_end|>"} & characters
