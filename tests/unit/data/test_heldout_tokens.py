"""Held-out text beside the shards: each token of it is scored once, and bytes are the text's own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data.documents import first_texts, read_documents
from components.data.heldout_tokens import cut_windows, read_windows
from components.data.token_shards import read_index
from components.errors import EmptyCorpus, InputError
from components.tokenizers.load import load_tokenizer
from tests.support.builders import byte_levels
from tests.support.builders.tiny_training import SEQUENCE_LENGTH, packer, write_text_and_model
from tests.support.fakes import SITE, make_context

BEFORE = 1


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_text_and_model(folder)
    return folder


def pack(inputs: Path, folder: Path, model: Path, **changes: object) -> Path:
    context = make_context(folder, site=replace(SITE, workers=1))
    packer(**changes).run(context, text=inputs / "text", model=model, output=folder / "tokens")
    return folder / "tokens"


@given(lengths=st.lists(st.integers(0, 40), max_size=4), length=st.integers(1, 12))
def test_every_token_is_scored_once_in_order_behind_what_stands_before_it(lengths: list[int], length: int) -> None:
    documents, number = [], 10
    for size in lengths:
        documents.append(np.arange(number, number + size))
        number += size
    windows = cut_windows("ja", documents, BEFORE, length)
    assert all(1 < len(window.tokens) <= length + 1 for window in windows)
    assert [token for window in windows for token in window.tokens[1:].tolist()] == list(range(10, number))
    firsts = {int(document[0]) for document in documents if len(document)}
    for window in windows:
        before, scored = window.tokens[:2].tolist()
        assert before == (BEFORE if scored in firsts else scored - 1)


@pytest.mark.parametrize("family", ["sentencepiece", "smollm"])
def test_the_windows_are_the_first_heldout_characters_behind_bos_or_else_eos(
    family: str, inputs: Path, tmp_path: Path
) -> None:
    model = inputs / "model" if family == "sentencepiece" else byte_levels.write(tmp_path / "model", byte_levels.small(family))
    folder = pack(inputs, tmp_path, model, heldout_characters={"ja": 150})
    index, tokenizer = read_index(folder), load_tokenizer(model)
    (entry,) = index.heldout
    texts = first_texts(read_documents(inputs / "text/heldout/ja.jsonl.gz"), 150)
    assert (entry.characters, entry.bytes) == (150, len("".join(texts).encode()))
    assert index.tokenizer_fingerprint.eos is not None
    specials = index.tokenizer_fingerprint.bos, index.tokenizer_fingerprint.eos
    windows = read_windows(folder, entry, index.dtype, specials, SEQUENCE_LENGTH)
    expected = [token for text in texts for token in tokenizer.encode(text)]
    assert [token for window in windows for token in window.tokens[1:].tolist()] == expected
    assert windows[0].tokens[0] == (tokenizer.bos if family == "sentencepiece" else tokenizer.eos)


def test_a_language_without_heldout_text_is_named(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpus, match=r"no held-out 'fr' text\. Raise clean\.heldout_fraction"):
        pack(inputs, tmp_path, inputs / "model", heldout_characters={"fr": 10})


def test_a_file_that_lost_its_end_is_refused(inputs: Path, tmp_path: Path) -> None:
    folder = pack(inputs, tmp_path, inputs / "model")
    index = read_index(folder)
    path = folder / f"{index.heldout[0].key}.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match=r"heldout-en\.bin has .* tokens in .* Run the pack stage again"):
        read_windows(folder, index.heldout[0], index.dtype, (1, 2), SEQUENCE_LENGTH)
