"""What `components.tokenizers.piece_bytes` promises: tokens know how many bytes of text they are."""

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.tokenizers.byte_level import read_byte_level
from components.tokenizers.load import load_tokenizer
from components.tokenizers.piece_bytes import piece_bytes, write_piece_bytes
from components.tokenizers.sentencepiece import SPACE
from components.tokenizers.tokenizer import Tokenizer
from components.train.loop.step_metrics import TextCount
from tests.support.builders import byte_levels, texts, vocabularies

PARTS = [*texts.JAPANESE, *vocabularies.ENGLISH, " ", "  ", "\n", "\x00", "𠮷", "e\u0301", "<think>", "<|im_end|>", "<s>"]
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(st.sampled_from(PARTS)).map("".join)

Counted = tuple[Tokenizer, Any]


def counted(folder: Path) -> Counted:
    return load_tokenizer(folder), piece_bytes(folder)


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> Counted:
    return counted(vocabularies.write_tokenizer(tmp_path_factory.mktemp("model"), vocabularies.tiny_proto()))


@pytest.fixture(scope="module", params=byte_levels.FAMILIES)
def byte_level(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Counted:
    return counted(byte_levels.write(tmp_path_factory.mktemp(request.param), byte_levels.small(request.param)))


@settings(max_examples=100, deadline=None)
@given(text=TEXT)
def test_a_sentencepiece_document_counts_its_text_and_the_space_in_front(sentencepiece: Counted, text: str) -> None:
    tokenizer, sizes = sentencepiece
    expected = len(text.replace(SPACE, " ").encode()) + bool(text)
    assert sizes[tokenizer.encode_documents([text])[0]].sum() == expected


@settings(max_examples=100, deadline=None)
@given(text=TEXT)
def test_a_byte_level_document_counts_its_text(byte_level: Counted, text: str) -> None:
    tokenizer, sizes = byte_level
    seen = unicodedata.normalize("NFC", text) if tokenizer.normalization else text  # type: ignore[attr-defined]
    assert sizes[tokenizer.encode_documents([text])[0]].sum() == len(seen.encode())


def test_special_tokens_are_no_text(tmp_path: Path) -> None:
    base = byte_levels.small("smollm")
    folder = byte_levels.write(tmp_path, base)
    tokenizer, sizes = read_byte_level(folder), piece_bytes(folder)
    assert len(sizes) == tokenizer.pieces
    assert [int(sizes[token["id"]]) for token in base["added_tokens"]] == [0] * len(base["added_tokens"])


def test_neighbouring_windows_count_the_token_that_they_share_once(tmp_path: Path) -> None:
    write_piece_bytes(tmp_path, np.asarray([0, 1, 20, 300]))
    text = TextCount(tmp_path, torch.device("cpu"), [])
    shares = text.share([torch.tensor([[1, 2, 3]]), torch.tensor([[3, 0, 1]])])  # five tokens; the first is no target
    assert shares.tolist() == [20 + 300 + 0 + 1]
    assert [text.facts(321), text.facts(4)] == [{"bytes": 321, "step_bytes": 321}, {"bytes": 325, "step_bytes": 4}]


@pytest.mark.parametrize(("line", "expected"), [({"bytes": 7}, {"bytes": 10, "step_bytes": 3}), ({}, {"step_bytes": 3})])
def test_a_count_goes_on_from_the_last_line_unless_that_has_none(line: Any, expected: Any, tmp_path: Path) -> None:
    write_piece_bytes(tmp_path, np.asarray([1]))
    assert TextCount(tmp_path, torch.device("cpu"), [line]).facts(3) == expected
