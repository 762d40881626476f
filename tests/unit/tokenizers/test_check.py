"""A vocabulary that can be trusted passes; one that cannot fails by name; and a stranger's is measured, whatever it is."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from components.errors import EmptyCorpus, InputError, MartletError, ParameterError
from components.tokenizers.byte_level import ALPHABET, text_of_bytes
from components.tokenizers.check import check_tokenizer
from components.tokenizers.check.facts import Check, CheckVerdict
from components.tokenizers.check.fuzz import random_strings
from components.tokenizers.check.generation import cost_of_head
from components.tokenizers.check.measure import NOT_LATIN
from components.tokenizers.check.readers.fast_reader import base_of, read_fast, steps
from components.tokenizers.check.readers.open_reader import open_reader
from components.tokenizers.check.readers.reader import Piece
from components.tokenizers.check.tables import ending, page
from components.tokenizers.check.texts import read_domains, sample_domains
from components.tokenizers.conversion import build_fast_tokenizer, write_fast_tokenizer
from components.tokenizers.sentencepiece import NORMAL, SPACE
from flows.commands.tokenizers import named
from tests.support.builders.vocabularies import ENGLISH, JAPANESE, tiny_proto, train_proto, write_tokenizer

DOMAINS = {"prose": ["\n".join(ENGLISH)], "japanese": ["\n".join(JAPANESE)]}
CHARACTERS = sorted({c for sentence in JAPANESE for c in sentence} - set("、。"))


def check(after: Path, base: Path | None = None, fuzz: int = 60, **domains: list[str]) -> Check:
    return check_tokenizer(after, base=base, domains=domains or DOMAINS, fuzz=fuzz, progress=lambda *_: None)


def verdict(checked: Check, words: str) -> CheckVerdict:
    (found,) = [verdict for verdict in checked.verdicts if words in verdict.name]
    return found


def enlarged(pieces: list[str], score: float | None = None) -> Any:
    """The tiny base with pieces appended, each scored one below the one before."""
    proto = tiny_proto()
    known = {piece.piece for piece in proto.pieces}
    lowest = min(piece.score for piece in proto.pieces if piece.score > -1e8)
    for rank, piece in enumerate((piece for piece in pieces if piece not in known), 1):
        proto.pieces.add(piece=piece, score=lowest - rank if score is None else score, type=NORMAL)
    return proto


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("base"), tiny_proto())


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base with every Japanese character, and the base's size beside it."""
    folder = write_tokenizer(tmp_path_factory.mktemp("grown"), enlarged(["つばめ", *CHARACTERS]))
    (folder / "expansion.json").write_text(json.dumps({"base_pieces": len(tiny_proto().pieces)}))
    return folder


@pytest.fixture(scope="module")
def compared(base: Path, grown: Path) -> Check:
    """The enlarged tokenizer beside its base."""
    return check(grown, base)


def test_an_expansion_that_leaves_the_base_alone_passes_every_check_that_applies(
    base: Path, grown: Path, compared: Check
) -> None:
    checked = compared
    assert {v.name: v.passed for v in checked.verdicts} == {
        "round trip": True, "slow equals fast": None, "every new piece is reachable": True, "base ids are unchanged": True,
        "English and code are unchanged": True,
    }
    prose, japanese = checked.domains
    assert (prose.ratio, prose.identical_lines, prose.japanese) == (1.0, prose.lines, False)
    assert japanese.japanese
    assert japanese.ratio is not None
    assert japanese.ratio < 0.8
    assert checked.added == len(open_reader(grown).inventory) - len(open_reader(base).inventory)
    assert checked.new_pieces is not None
    assert (checked.new_pieces.used, checked.new_pieces.unused) == (checked.added - 1, 1)  # つ stands in つばめ only


def test_counts_of_a_domain_are_those_of_the_tokenizer(base: Path, grown: Path, compared: Check) -> None:
    domain = compared.domains[1]
    text = DOMAINS["japanese"][0]
    before, after = (open_reader(folder).encode([text])[0] for folder in (base, grown))
    assert domain.before is not None
    assert (domain.before.tokens, domain.after.tokens) == (len(before), len(after))
    assert domain.after.tokens_per_character == round(len(after) / len(text), 6)
    assert domain.after.bytes_per_token == round(len(text.encode()) / len(after), 6)
    inventory = open_reader(base).inventory
    fallback = sum(inventory[number].kind == "byte" for number in before)
    assert domain.before.byte_fallback_share == round(fallback / len(before), 6) > 0


def test_the_base_is_rebuilt_from_the_enlarged_tokenizer_itself(grown: Path, compared: Check) -> None:
    given, rebuilt = compared, check(grown)
    assert rebuilt.base == "rebuilt"
    assert rebuilt.domains == given.domains
    assert rebuilt.before == given.before
    assert verdict(rebuilt, "base ids").passed is None


def test_a_piece_that_no_text_leads_to_fails_by_name(base: Path, tmp_path: Path) -> None:
    checked = check(write_tokenizer(tmp_path / "after", enlarged(["橋舟", "川橋舟雨"])), base)  # the first forestalls it
    assert verdict(checked, "reachable").passed is False
    assert checked.reach_new is not None
    assert "川橋舟雨" in checked.reach_new.examples[0]
    assert checked.failed == ["every new piece is reachable"]
    assert "not to be trusted" in ending(checked)[1]


def test_a_new_piece_in_english_fails_and_the_first_line_is_shown(base: Path, tmp_path: Path) -> None:
    proto = enlarged([SPACE + "swallow" + SPACE, "s" + SPACE, "ow" + SPACE], score=0.0)
    checked = check(write_tokenizer(tmp_path / "after", proto), base)
    assert verdict(checked, "English").passed is False
    shown = checked.domains[0].first_different_latin_line
    assert shown is not None
    assert shown.text.startswith("The swallow")


def test_base_ids_that_changed_their_meaning_fail(base: Path, tmp_path: Path) -> None:
    proto = tiny_proto()
    proto.pieces[300].score -= 0.5
    checked = check(write_tokenizer(tmp_path / "after", proto), base)
    found = verdict(checked, "base ids")
    assert found.passed is False
    assert f"{len(proto.pieces) - 1:,} of {len(proto.pieces):,}" in found.words


def test_another_normaliser_fails_as_other_settings(base: Path, tmp_path: Path) -> None:
    proto = tiny_proto()
    proto.normalizer_spec.add_dummy_prefix = False
    found = verdict(check(write_tokenizer(tmp_path / "after", proto), base), "base ids")
    assert found.passed is False
    assert "settings are others" in found.words


def with_fast(folder: Path, proto: Any, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
    """A folder of both files, the second changed."""
    write_tokenizer(folder, proto)
    state = json.loads(build_fast_tokenizer(proto).to_str())
    change(state)
    (folder / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    return folder


def test_a_tokenizer_json_that_splits_otherwise_fails_and_its_first_text_is_shown(tmp_path: Path) -> None:
    def reverse_merges(state: dict[str, Any]) -> None:
        state["model"]["merges"].reverse()

    good, bad = with_fast(tmp_path / "good", tiny_proto()), with_fast(tmp_path / "bad", tiny_proto(), reverse_merges)
    assert verdict(check(good), "slow").passed is True
    checked = check(bad)
    assert verdict(checked, "slow").passed is False
    (agreement,) = checked.domains[0].agreements
    assert agreement.different > 0
    assert agreement.first is not None
    assert "from token" in agreement.first.result


def test_a_decoder_that_loses_a_space_fails_though_the_ids_agree(tmp_path: Path) -> None:
    def strip_two(state: dict[str, Any]) -> None:
        state["decoder"]["decoders"][-1]["start"] = 2

    text = ["    return place"]
    (agreement,) = check(with_fast(tmp_path, tiny_proto(), strip_two), fuzz=0, code=text).domains[0].agreements
    assert agreement.first is not None
    assert agreement.first.result.startswith("same ids, decoded to")


@pytest.mark.parametrize("options", [
    {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc", "remove_extra_whitespaces": True},
    {"model_type": "char", "normalization_rule_name": "nmt_nfkc_cf"},
])
def test_a_normaliser_is_reported_and_not_failed(tmp_path: Path, options: dict[str, Any]) -> None:
    proto = train_proto((*ENGLISH, *JAPANESE), 500, **options)
    checked = check(write_tokenizer(tmp_path, proto), odd=["ﾂﾊﾞﾒ  ＡＢＣ  tail ", "①　the  Barn"])
    assert checked.fuzz is not None
    assert verdict(checked, "round trip").passed is True
    assert checked.domains[0].round_trip.normalised == 2
    assert options["model_type"].lower() in checked.after.family.lower()


def test_characters_without_a_piece_are_counted_and_not_judged_where_there_is_no_byte_fallback(tmp_path: Path) -> None:
    proto = train_proto(ENGLISH, 120, model_type="unigram", byte_fallback=False)
    checked = check(write_tokenizer(tmp_path, proto))
    assert checked.domains[1].round_trip.unknown == len(JAPANESE)
    assert checked.domains[1].after.unknown_share > 0.1
    assert verdict(checked, "round trip").passed is None
    assert "texts come back changed: this kind of tokenizer loses text" in ending(checked)[1]
    assert re.search(r"fallback \| unknown \|\n.*\n.*\n\| japanese .* [1-9][\d.]*% \|\n", page(checked))


def test_shares_of_unknown_text_are_not_shown_where_there_is_none(compared: Check) -> None:
    assert "unknown |" not in page(compared)


def test_u2581_is_counted_apart_as_sentencepieces_one_lossy_character(base: Path) -> None:
    trip = check(base, odd=[f"a{SPACE}b", "a b"]).domains[0].round_trip
    assert (trip.exact, trip.lossy_character, trip.lost) == (1, 1, 0)


def byte_level(pieces: int, texts: tuple[str, ...], *, alphabet: bool = True) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    initial = pre_tokenizers.ByteLevel.alphabet() if alphabet else []
    backend.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=pieces, initial_alphabet=initial, special_tokens=["<|end|>"], show_progress=False
    ))
    return backend


def word_piece() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106  (a token of text)
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.train_from_iterator(ENGLISH, trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[UNK]", "[CLS]"], show_progress=False
    ))
    backend.enable_truncation(4)
    return backend


def unigram(unknown: int | None) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    proto = train_proto(ENGLISH, 120, model_type="unigram", byte_fallback=False)
    backend = Tokenizer(models.Unigram([(piece.piece, piece.score) for piece in proto.pieces], unk_id=unknown))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return backend


@pytest.mark.parametrize("backend", [
    byte_level(400, ENGLISH), byte_level(400, ENGLISH, alphabet=False), word_piece(), unigram(0),
], ids=["byte-level", "byte-level-without-some-bytes", "wordpiece", "unigram"])
def test_a_strangers_tokenizer_json_is_measured_whatever_its_kind(tmp_path: Path, backend: Any) -> None:
    backend.save(str(tmp_path / "tokenizer.json"))
    checked = check(tmp_path)
    assert checked.after.pieces == backend.get_vocab_size()
    assert checked.fuzz is not None
    assert checked.fuzz.round_trip.texts == checked.fuzz.strings == 60
    assert checked.reach_all is not None
    assert checked.reach_all.unreachable == 0
    assert verdict(checked, "slow").passed is True
    assert page(checked).count("\n## ") >= 6


def test_texts_that_the_library_refuses_are_no_crash(tmp_path: Path) -> None:
    unigram(None).save(str(tmp_path / "tokenizer.json"))
    checked = check(tmp_path, fuzz=0, japanese=list(JAPANESE), prose=list(ENGLISH[:4]))
    assert any("refused" in note and "unk_id" in note for note in checked.notes)
    assert (checked.domains[0].round_trip.failures, checked.domains[0].after.tokens) == (len(JAPANESE), 0)
    assert checked.domains[1].round_trip.failures == 0


def test_words_that_are_cut_at_white_space_are_not_judged_on_it(tmp_path: Path) -> None:
    word_piece().save(str(tmp_path / "tokenizer.json"))
    checked = check(tmp_path, fuzz=0, prose=["The barn,  and the bridge."])
    assert checked.domains[0].after.tokens > 4  # the truncation that the file asks for is left out
    assert verdict(checked, "round trip").passed is None


def test_bytes_without_a_piece_are_named(tmp_path: Path) -> None:
    byte_level(300, ENGLISH, alphabet=False).save(str(tmp_path / "tokenizer.json"))
    checked = check(tmp_path, fuzz=0, japanese=[JAPANESE[0]])
    assert any("bytes have no piece" in note and "0xE3" in note for note in checked.notes)
    assert checked.domains[0].round_trip.unknown == 1


def test_the_base_of_a_byte_level_tokenizer_is_rebuilt_with_its_merges(tmp_path: Path) -> None:
    old = byte_level(300, ENGLISH)
    state = json.loads(old.to_str())
    size = len(state["model"]["vocab"])
    characters = ["\u00e3\u0123", "\u00e3\u0123\u00a4"]  # the first two bytes of つ, and つ, as the alphabet writes them
    state["model"]["vocab"] |= {name: size + place for place, name in enumerate(characters)}
    state["model"]["merges"] += [["\u00e3", "\u0123"], [characters[0], "\u00a4"]]
    (tmp_path / "after").mkdir()
    (tmp_path / "base").mkdir()
    (tmp_path / "after/tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    old.save(str(tmp_path / "base/tokenizer.json"))
    given, reader = check(tmp_path / "after", tmp_path / "base", fuzz=0), read_fast(tmp_path / "after/tokenizer.json")
    assert given.failed == []
    assert verdict(given, "base ids").passed is True
    real, rebuilt = read_fast(tmp_path / "base/tokenizer.json"), base_of(reader, size)
    assert (rebuilt.exact(), rebuilt.merges(), rebuilt.rules()) == (real.exact(), real.merges(), real.rules())
    assert rebuilt.encode(["つばめ"]) == real.encode(["つばめ"]) != reader.encode(["つばめ"])
    assert given.reach_new is not None
    assert (given.reach_new.tested, given.reach_new.skipped) == (1, 1)  # half a character cannot be asked for
    assert given.characters_after.in_one_token["hiragana"] == 1


def test_vocab_json_and_merges_alone_are_enough(tmp_path: Path) -> None:
    byte_level(350, ENGLISH).model.save(str(tmp_path))
    checked = check(tmp_path)
    assert checked.after.family == "tokenizers BPE, byte-level"
    assert verdict(checked, "round trip").passed is True


def test_a_sentencepiece_model_of_another_name_is_read_where_no_class_is_named(base: Path, tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes((base / "tokenizer.model").read_bytes())
    checked = check(tmp_path, fuzz=0)
    assert (checked.after.file, checked.after.pieces) == ("spiece.model", len(tiny_proto().pieces))


def test_files_of_another_kind_are_listed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected tokenizer\.model, .*; found tekken\.json\."):
        check(broken(tmp_path, "tekken.json", b"{}"))


def test_tokens_that_auto_tokenizer_adds_beyond_the_pieces_are_noted(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, tiny_proto())
    write_fast_tokenizer(tmp_path, 16)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text()) | {"extra_special_tokens": ["<img>"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (note,) = [note for note in check(tmp_path).notes if "adds ids after the last piece" in note]
    assert note.endswith(f"{len(tiny_proto().pieces)} '<img>'")


def test_a_class_that_rebuilds_tokenizer_json_is_named_where_it_differs(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, tiny_proto())
    write_fast_tokenizer(tmp_path, 16)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}', encoding="utf-8")
    checked = check(tmp_path, code=["        if boats:\n    return  3"])
    assert checked.failed == ["slow equals fast"]
    assert any("makes a LlamaTokenizer of this folder" in note for note in checked.notes)


def test_a_sequence_of_nothing_is_no_normaliser() -> None:
    assert steps({"type": "Sequence", "normalizers": []}) == "none"


def test_byte_alphabet_spells_every_byte_once() -> None:
    assert sorted(ALPHABET) == list(range(256))
    assert text_of_bytes("".join(ALPHABET[byte] for byte in " 燕".encode())) == " 燕"
    assert text_of_bytes(ALPHABET[0xE7]) is None


def broken(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(("name", "content"), [
    ("tokenizer.model", b"\xff\xff not a model"), ("tokenizer.model", b""), ("tokenizer.json", b"{}"),
    ("tokenizer.json", b"\xff"), ("tokenizer.json", b'{"model": {"type": "BPE"'), ("vocab.json", b"{"), ("config.json", b"{}"),
])
def test_a_folder_without_a_readable_tokenizer_is_one_message(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        check(broken(tmp_path, name, content))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere is not a folder"):
        check(tmp_path / "nowhere")


def test_equal_inputs_give_equal_documents_without_a_path_in_them(base: Path, grown: Path, compared: Check) -> None:
    one, two = compared, check(grown, base)
    assert one.model_dump_json() == two.model_dump_json()
    assert Check.model_validate_json(one.model_dump_json()) == one
    for words in (page(one), one.model_dump_json()):
        assert str(grown.parent) not in words


def test_markdown_cells_hold_whatever_text_there_is() -> None:
    from components.tokenizers.check.tables import Table, markdown

    row = markdown(Table("t", ["a", "b"], [["x|y\n`<b>`", "\x00*"]])).splitlines()[-1]
    assert row == "| x\\|y\\\\x0a\\`\\<b>\\` | \\\\x00\\* |"


def test_random_strings_repeat_and_reach_every_plane() -> None:
    inventory = [Piece("ab", "text", "ab")]
    strings = random_strings(2_000, inventory)
    assert strings == random_strings(2_000, inventory)
    assert len(set(strings)) > 1_800
    joined = "".join(strings)
    assert {ord(character) >> 16 for character in joined} == set(range(17))
    assert all(sign in joined for sign in ("\x00", "\u200d", "\u3099", "ﾊ", "</s>", "\t", SPACE, "ab"))


@pytest.mark.parametrize(("line", "latin"), [
    ("for x in range(3):  # naïve “café” — 3 €, ½, ✓", True), ("Łódź", True), ("", True), ("привет", False), ("a日", False),
    ("a、b", False), ("ｗｉｄｅ", False), ("한", False),
])
def test_latin_lines_are_those_an_expansion_should_leave_alone(line: str, latin: bool) -> None:
    assert (NOT_LATIN.search(line) is None) is latin


def test_the_larger_head_costs_what_the_config_says(tmp_path: Path) -> None:
    mistral = {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }
    (tmp_path / "config.json").write_text(json.dumps(mistral))
    body = 6_979_321_856  # Mistral-7B's 7.24 billion parameters without embedding, head and norms
    cost, _ = cost_of_head(tmp_path, 32_000, 42_800)
    assert cost == round((body + 4096 * 42_800) / (body + 4096 * 32_000), 6)
    (tmp_path / "config.json").write_text(json.dumps(mistral | {"num_local_experts": 8, "num_experts_per_tok": 2}))
    active = 12_617_515_008
    assert cost_of_head(tmp_path, 32_000, 42_800)[0] == round((active + 4096 * 42_800) / (active + 4096 * 32_000), 6)
    (tmp_path / "config.json").write_text("{}")
    assert cost_of_head(tmp_path, 1, 2)[0] is None
    assert "hidden_size" in cost_of_head(tmp_path, 1, 2)[1]


def test_speed_up_and_context_follow_from_the_counts(compared: Check) -> None:
    checked = compared
    (found,) = checked.generation
    before, after = checked.domains[1].before, checked.domains[1].after
    assert before is not None
    assert found.speed_up == round(before.tokens / after.tokens, 4)
    assert found.context_characters_after == round(4096 * after.characters_per_token)
    assert found.speed_up_with_head is None
    assert any("config.json" in note for note in checked.notes)


def test_the_samples_are_two_of_japanese_and_two_without() -> None:
    domains = sample_domains()
    assert list(domains) == ["japanese", "japanese-technical", "english", "code"]
    assert [NOT_LATIN.search(texts[0]) is None for texts in domains.values()] == [False, False, True, True]


def test_texts_are_read_from_files_folders_and_a_clean_stages_output(tmp_path: Path) -> None:
    (tmp_path / "heldout").mkdir()
    with gzip.open(tmp_path / "heldout/ja.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.write(json.dumps({"text": JAPANESE[0]}) + "\n" + json.dumps({"text": JAPANESE[1], "id": "2"}) + "\n")
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("a = 1\n")
    (code / "b.bin").write_bytes(b"\xff")
    (tmp_path / "plain").write_text("x" * 30)
    domains, notes = read_domains({"clean": tmp_path, "code": code, "plain": tmp_path / "plain"}, limit=20)
    assert domains == {"clean-ja": [JAPANESE[0][:20]], "code": ["a = 1\n"], "plain": ["x" * 20]}
    assert [note for note in notes if "left out" in note] == ["code: 1 files of other kinds were left out."]
    assert sum("only the first 20" in note for note in notes) == 2


@pytest.mark.parametrize(("name", "content", "words"), [
    ("a.txt", b"\xff\xfe\x00", "not UTF-8"), ("a.txt", b" \n", "holds no text"), ("a.jsonl", b'{"body": 1}\n', "line 1"),
    ("a.jsonl.gz", b"not packed", "cannot be read"),
])
def test_text_that_cannot_be_read_is_one_message(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_domains({"x": tmp_path / name}, limit=10)


def test_json_lines_of_another_kind_are_left_out_of_a_folder_and_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("boats = 37\n", encoding="utf-8")
    (tmp_path / "shots.jsonl").write_text('{"question": "How many boats?"}\n', encoding="utf-8")
    domains, notes = read_domains({"code": tmp_path}, 100)
    assert (domains, notes) == ({"code": ["boats = 37\n"]}, ["code: 1 files of other kinds were left out."])
    with pytest.raises(InputError, match=r"shots\.jsonl, line 1: a JSON object with a `text` was expected"):
        read_domains({"code": tmp_path / "shots.jsonl"}, 100)


def test_absent_and_empty_folders_of_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_domains({"x": tmp_path / "nowhere"}, limit=10)
    with pytest.raises(EmptyCorpus, match="no text file"):
        read_domains({"x": tmp_path}, limit=10)


@pytest.mark.parametrize("texts", [["news"], ["=path"], ["news="], ["a=x", "a=y"]])
def test_a_text_option_of_another_form_is_one_message(texts: list[str]) -> None:
    with pytest.raises(ParameterError, match="--text"):
        named(texts)
    assert issubclass(ParameterError, MartletError)


def test_half_a_surrogate_pair_in_a_text_is_survived(base: Path) -> None:
    assert check(base, fuzz=0, odd=["a\ud800b"]).domains[0].round_trip.exact == 1


def test_progress_reaches_its_end(base: Path) -> None:
    steps: list[tuple[int, int]] = []
    check_tokenizer(base, base=None, domains=None, fuzz=10, progress=lambda *step: steps.append(step[:2]))
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]


def test_a_base_larger_than_what_it_became_is_no_crash(base: Path, grown: Path) -> None:
    checked = check(base, grown)
    assert checked.added is not None
    assert checked.added < 0
    assert verdict(checked, "base ids").passed is False


def test_an_expansion_that_states_nonsense_leaves_no_base(base: Path, tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, ModelProto.FromString((base / "tokenizer.model").read_bytes()))
    for content in ("{", "[]", '{"base_pieces": 10000000}', '{"base_pieces": "x"}'):
        (folder / "expansion.json").write_text(content)
        checked = check(folder, fuzz=0)
        assert checked.base == "none"
        assert any("base_pieces" in note for note in checked.notes)
