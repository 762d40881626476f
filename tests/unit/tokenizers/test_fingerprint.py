"""A tokenizer's fingerprint: the same for the same answers, another for any other, and the first string is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.errors import InputError, TokenizerMismatch
from components.formats.digests import digest_value
from components.tokenizers.conversion import write_fast_tokenizer
from components.tokenizers.fingerprint import (
    FILE,
    TokenizerFingerprint,
    Walk,
    compare,
    fingerprint_tokenizer,
    read_tokenizer_fingerprint,
    show,
    write_tokenizer_fingerprint,
)
from components.tokenizers.golden_strings import GOLDEN, GOLDEN_DOCUMENT
from components.tokenizers.load import load_tokenizer
from components.tokenizers.sentencepiece import NORMAL, tokenizer_of
from components.tokenizers.special_tokens import bos_in_front, folder_tokenizer_fingerprint
from components.tokenizers.tokenizer import with_special_tokens
from tests.support.builders.byte_levels import FAMILIES, small, write
from tests.support.builders.tokenizer_files import delay_merge, edit_fast_tokenizer, lose_bos
from tests.support.builders.vocabularies import tiny_proto, write_tokenizer

PROTO = tiny_proto()
FINGERPRINT = fingerprint_tokenizer(tokenizer_of(PROTO))
LINE = tokenizer_of(PROTO).encode("\n")
WORDS = {"made": "the tokens", "where": "tokenizer.model", "remedy": "Pack again."}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with both tokenizer files."""
    write_tokenizer(tmp_path, PROTO)
    write_fast_tokenizer(tmp_path, 512)
    return tmp_path


def changed(change: Callable[[Any], None]) -> TokenizerFingerprint:
    """The fingerprint after a change of the SentencePiece model."""
    proto = tiny_proto()
    change(proto)
    return fingerprint_tokenizer(tokenizer_of(proto))


def test_the_golden_strings_of_version_1_are_these() -> None:
    assert TokenizerFingerprint.model_fields["version"].annotation.__args__ == (1,)  # type: ignore[union-attr]
    assert digest_value([GOLDEN_DOCUMENT, list(GOLDEN)]) == "7fa324e102bda8c24e2ac2ba314ee744d378e795702e255692252b89a0073d72"


def test_the_golden_strings_reach_what_tokenizers_differ_in() -> None:
    text = "".join(GOLDEN)
    wanted = ["\t", "\u3000", "\u200d", "\u0301", "\u3099", "\r\n", "\u2581", "\x07", "\x00", "ｶﾞ", "𠮷", "</s>", "👩", "é"]
    assert [each for each in wanted if each not in text] == []
    assert "" in GOLDEN
    assert len(set(GOLDEN)) == len(GOLDEN)


def test_both_libraries_give_one_fingerprint(folder: Path) -> None:
    assert folder_tokenizer_fingerprint(folder) == FINGERPRINT


def test_a_fingerprint_survives_its_file(tmp_path: Path) -> None:
    assert read_tokenizer_fingerprint(tmp_path) is None
    write_tokenizer_fingerprint(tmp_path, FINGERPRINT)
    assert read_tokenizer_fingerprint(tmp_path) == FINGERPRINT


def test_a_document_has_its_frame_in_the_fingerprint() -> None:
    assert FINGERPRINT.document == [1, *FINGERPRINT.golden[GOLDEN_DOCUMENT], 2]


def test_a_file_that_is_no_fingerprint_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"version": 0}')
    with pytest.raises(InputError, match=r"tokenizer_fingerprint\.json is not a tokenizer fingerprint of version 1"):
        read_tokenizer_fingerprint(tmp_path)


def test_the_first_differing_string_is_shown_with_both_ids_and_how_many_differ() -> None:
    other = FINGERPRINT.model_copy(update={"golden": FINGERPRINT.golden | {" ": [7], "\x07": [1, 2, 3]}})
    with pytest.raises(TokenizerMismatch) as raised:
        compare(FINGERPRINT, other, **WORDS)
    spaces = FINGERPRINT.golden[" "]
    assert str(raised.value) == (
        f"tokenizer.model is not the tokenizer of the tokens: ' ' gives 1 ids [7], expected {len(spaces)} ids {spaces} "
        f"(2 of {len(GOLDEN)} strings differ). Pack again."
    )


def test_long_answers_are_shown_from_the_first_difference_on() -> None:
    ids = FINGERPRINT.golden[GOLDEN_DOCUMENT]
    other = FINGERPRINT.model_copy(update={"golden": FINGERPRINT.golden | {GOLDEN_DOCUMENT: [*ids[:20], 477, *ids[21:]]}})
    words = rf"gives {len(ids)} ids \[… 477, {ids[21]}, .* …\], expected {len(ids)} ids \[… {ids[20]}, {ids[21]}, "
    with pytest.raises(TokenizerMismatch, match=words):
        compare(FINGERPRINT, other, **WORDS)


def test_one_more_piece_is_noticed() -> None:
    other = changed(lambda proto: proto.pieces.add(piece="ヮヮヮ", score=-9999.0, type=NORMAL))
    assert other.golden == FINGERPRINT.golden
    pieces = FINGERPRINT.pieces
    with pytest.raises(TokenizerMismatch, match=rf"number of pieces is {pieces + 1}, expected {pieces}"):
        compare(FINGERPRINT, other, **WORDS)


def test_two_renumbered_pieces_are_noticed() -> None:
    def renumber(proto: Any) -> None:
        proto.pieces[-1].piece, proto.pieces[-2].piece = proto.pieces[-2].piece, proto.pieces[-1].piece

    with pytest.raises(TokenizerMismatch, match=r"gives .* expected"):
        compare(FINGERPRINT, changed(renumber), **WORDS)


def test_a_merge_out_of_turn_is_noticed_where_no_golden_string_shows_it(folder: Path) -> None:
    delay_merge(folder, "b", "o")
    words = r"of .*: '.*bo.*' gives \d+ ids \[.*\], expected .*; the texts of its pieces are split otherwise"
    with pytest.raises(TokenizerMismatch, match=words) as raised:
        folder_tokenizer_fingerprint(folder)
    assert "strings differ" not in str(raised.value)


def test_a_text_of_the_vocabulary_is_named_where_neighbours_are_split_otherwise() -> None:
    walk = Walk.of(tokenizer_of(PROTO))
    piece, other = list(walk.texts)[40:42]
    changed = bytearray(walk.checksums)
    changed[piece] = changed[piece] % 255 + 1
    assert walk.first_difference(walk.checksums) == ""
    assert walk.first_difference(bytes(changed)).startswith(f"{walk.texts[piece] + walk.texts[other]!r} gives ")
    changed[other] = 0
    ids = show([*LINE, other], 0)
    assert walk.first_difference(bytes(changed)) == f"'\\n{walk.texts[other]}' gives {ids}, expected other ids"


def test_a_fingerprint_from_before_the_walk_is_compared_all_the_same(folder: Path) -> None:
    old = FINGERPRINT.model_copy(update={"walk": None})
    compare(old, FINGERPRINT, tokenizer=tokenizer_of(PROTO), **WORDS)
    other = FINGERPRINT.model_copy(update={"vocabulary": "0" * 64})
    with pytest.raises(TokenizerMismatch, match="tokens: the texts of its pieces are split otherwise"):
        compare(old, other, tokenizer=tokenizer_of(PROTO), **WORDS)


def test_a_merge_out_of_turn_is_noticed_with_the_string(folder: Path) -> None:
    delay_merge(folder, "h", "e")
    with pytest.raises(TokenizerMismatch, match=r'"def land\(height\).*" gives \d+ ids \[.*\], expected .* strings differ\)'):
        folder_tokenizer_fingerprint(folder)


def test_a_tokenizer_json_that_lost_its_bos_is_noticed(folder: Path) -> None:
    lose_bos(folder)
    with pytest.raises(TokenizerMismatch, match=r"model: BOS is none, expected 1\. Take both from one place"):
        folder_tokenizer_fingerprint(folder)


def test_a_tokenizer_json_written_again_by_transformers_is_the_same(folder: Path) -> None:
    from transformers import AutoTokenizer

    before = (folder / "tokenizer_config.json").read_bytes()
    AutoTokenizer.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    assert (folder / "tokenizer_config.json").read_bytes() != before
    assert folder_tokenizer_fingerprint(folder) == FINGERPRINT


def test_other_bytes_of_the_same_tokenizer_json_are_the_same(folder: Path) -> None:
    truncation = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    edit_fast_tokenizer(folder, lambda fast: fast.update(truncation=truncation))  # the limits of somebody's last batch
    assert folder_tokenizer_fingerprint(folder) == FINGERPRINT


def test_a_tokenizer_json_that_is_none_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json is not a tokenizer"):
        folder_tokenizer_fingerprint(folder)


def test_a_folder_with_one_file_has_nothing_to_disagree(tmp_path: Path) -> None:
    alone = write_tokenizer(tmp_path / "alone", PROTO)
    assert folder_tokenizer_fingerprint(alone) == FINGERPRINT


@pytest.mark.parametrize(
    ("asked", "bos"), [([5, 6], None), ([1, 5, 6], 1), ([1, 5, 6, 2], 1), ([5, 6, 2], None)],
    ids=["nothing", "BOS", "BOS and EOS", "EOS"],
)
def test_bos_is_what_stands_in_front_where_special_tokens_are_asked_for(asked: list[int], bos: int | None) -> None:
    assert bos_in_front([5, 6], asked, "a folder") == bos


@pytest.mark.parametrize("asked", [[1, 1, 5, 6], [5, 7], [1, 5]], ids=["BOS twice", "another text", "a part"])
def test_any_other_frame_is_refused(asked: list[int]) -> None:
    with pytest.raises(TokenizerMismatch, match=r"a folder: if special tokens are asked for, .* Correct its post_processor"):
        bos_in_front([5, 6], asked, "a folder")


@pytest.mark.parametrize(("family", "begins"), [("smollm", False), ("llama", True)])
def test_a_document_begins_with_the_bos_that_the_tokenizer_puts_in_front_not_with_the_one_it_names(
    family: str, begins: bool, tmp_path: Path
) -> None:
    write(tmp_path, small(family))
    named = load_tokenizer(tmp_path).bos
    assert named is not None
    fingerprint = folder_tokenizer_fingerprint(tmp_path)
    assert fingerprint.bos == (named if begins else None)
    ids, bos = fingerprint.golden[GOLDEN_DOCUMENT], named if begins else None
    assert fingerprint.document == with_special_tokens(ids, bos, fingerprint.eos)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_byte_level_tokenizer_written_again_by_transformers_is_the_same(family: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    write(tmp_path, small(family))
    before = folder_tokenizer_fingerprint(tmp_path)
    AutoTokenizer.from_pretrained(tmp_path, local_files_only=True).save_pretrained(tmp_path)
    assert folder_tokenizer_fingerprint(tmp_path) == before
