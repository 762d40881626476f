"""Evaluation asks with the tokenizer that the model was trained with, where that is known."""

from pathlib import Path

import pytest

from components.errors import TokenizerMismatch
from components.evaluate.engine.tokenizer import auto_tokenizer, check_tokenizer
from components.tokenizers.conversion import write_fast_tokenizer
from components.tokenizers.fingerprint import write_tokenizer_fingerprint
from components.tokenizers.sentencepiece import NORMAL
from components.tokenizers.special_tokens import folder_tokenizer_fingerprint
from tests.support.builders import byte_levels
from tests.support.builders.tokenizer_files import delay_merge, edit_fast_tokenizer, lose_bos
from tests.support.builders.vocabularies import JAPANESE, tiny_proto, train_proto, write_tokenizer


@pytest.fixture(params=["sentencepiece", *byte_levels.FAMILIES])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The tokenizer files of a trained model, with the fingerprint of what it was trained with."""
    if request.param == "sentencepiece":
        write_tokenizer(tmp_path, tiny_proto())
        write_fast_tokenizer(tmp_path, 512)
    else:
        byte_levels.write(tmp_path, byte_levels.small(request.param))
    write_tokenizer_fingerprint(tmp_path, folder_tokenizer_fingerprint(tmp_path))
    return tmp_path


only_sentencepiece = pytest.mark.parametrize("folder", ["sentencepiece"], indirect=True)


def test_the_tokenizer_of_the_training_passes_and_so_does_its_copy_by_transformers(folder: Path) -> None:
    check_tokenizer(folder)
    auto_tokenizer(folder).save_pretrained(folder)
    check_tokenizer(folder)


def test_a_folder_without_a_fingerprint_passes(folder: Path) -> None:
    (folder / "tokenizer_fingerprint.json").unlink()
    lose_bos(folder)
    check_tokenizer(folder)


@only_sentencepiece
def test_a_merge_out_of_turn_is_refused_with_the_string(folder: Path) -> None:
    delay_merge(folder, "h", "e")
    words = r'as transformers reads it, is not the tokenizer of the training .*"def land\(height\).*" gives \d+ ids'
    with pytest.raises(TokenizerMismatch, match=words):
        check_tokenizer(folder)


@only_sentencepiece
def test_the_tokenizer_of_another_model_is_refused_with_the_string(folder: Path) -> None:
    write_tokenizer(folder / "other", train_proto(JAPANESE, 495, hard_vocab_limit=True))
    write_fast_tokenizer(folder / "other", 512)
    (folder / "other/tokenizer.json").replace(folder / "tokenizer.json")
    with pytest.raises(TokenizerMismatch, match=r"'The martlet has no feet.*' gives \d+ ids \["):
        check_tokenizer(folder)


@only_sentencepiece
def test_one_more_piece_is_refused(folder: Path) -> None:
    proto = tiny_proto()
    proto.pieces.add(piece="ヮヮヮ", score=-9999.0, type=NORMAL)
    write_tokenizer(folder, proto)
    write_fast_tokenizer(folder, 512)
    with pytest.raises(TokenizerMismatch, match=rf"number of pieces is {len(proto.pieces)}, expected {len(proto.pieces) - 1}"):
        check_tokenizer(folder)


@pytest.mark.parametrize("folder", ["sentencepiece", "llama"], indirect=True)
def test_a_tokenizer_that_lost_its_bos_is_refused(folder: Path) -> None:
    lose_bos(folder)
    with pytest.raises(TokenizerMismatch, match=r"BOS is none, expected \d+"):
        check_tokenizer(folder)


@pytest.mark.parametrize("folder", ["qwen"], indirect=True)
def test_a_lost_normaliser_is_refused_with_the_string(folder: Path) -> None:
    edit_fast_tokenizer(folder, lambda values: values.update(normalizer=None))
    with pytest.raises(TokenizerMismatch, match=r"gives \d+ ids .* strings differ"):
        check_tokenizer(folder)
