"""Packing: BOS + text + EOS, the same bytes at any number of workers, and clear words where something is missing."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from pydantic import ValidationError

from components.data.documents import read_documents, training_files, write_documents
from components.data.token_shards import TokenShards
from components.errors import EmptyCorpus, InputError, TokenizerMismatch
from components.formats.digests import digest_folder
from components.pack.passthrough import PassthroughPacker
from components.tokenizers.conversion import write_fast_tokenizer
from components.tokenizers.fingerprint import fingerprint_tokenizer
from components.tokenizers.load import load_tokenizer
from tests.support.builders import byte_levels
from tests.support.builders.tiny_training import packer, write_text_and_model
from tests.support.builders.tokenizer_files import delay_merge, lose_bos
from tests.support.fakes import SITE, make_context


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_text_and_model(folder)
    return folder


def pack(inputs: Path, output: Path, workers: int = 1) -> TokenShards:
    context = make_context(output.parent, site=replace(SITE, workers=workers))
    packer().run(context, text=inputs / "text", model=inputs / "model", output=output)
    return TokenShards(output)


def test_documents_lie_end_to_end_each_between_bos_and_eos(inputs: Path, tmp_path: Path) -> None:
    shards = pack(inputs, tmp_path / "tokens")
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(inputs / "model/tokenizer.model"))
    expected = []
    for path in training_files(inputs / "text", "ja/*"):
        for document in read_documents(path):
            expected += [tokenizer.bos_id(), *tokenizer.encode(document.text), tokenizer.eos_id()]
    length = shards.index.sequence_length
    found = {shards.place(n).window: shards.sample(n).tolist() for n in range(2000) if shards.place(n).source == 0}
    assert len(found) == shards.index.sources[0].windows == (len(expected) - 1) // length
    for window, sample in found.items():
        assert sample == expected[window * length : window * length + length + 1]


def test_any_number_of_workers_writes_the_same_bytes(inputs: Path, tmp_path: Path) -> None:
    pack(inputs, tmp_path / "one", workers=1)
    pack(inputs, tmp_path / "three", workers=3)
    assert digest_folder(tmp_path / "one") == digest_folder(tmp_path / "three")


def test_the_report_counts_what_was_written(inputs: Path, tmp_path: Path) -> None:
    context = make_context(tmp_path, site=replace(SITE, workers=1))
    report = packer().run(context, text=inputs / "text", model=inputs / "model", output=tmp_path / "tokens")
    assert report.documents == {"ja/*": 12, "en/*": 12}
    assert report.tokens["ja/*"] * 2 == (tmp_path / "tokens/0-ja.bin").stat().st_size
    assert report.weights == {"ja/*": 0.9, "en/*": 0.1}


def test_a_source_without_text_is_named_before_anything_is_tokenised(inputs: Path, tmp_path: Path) -> None:
    absent = packer(mixture=[{"text": "ja/*", "weight": 1.0}, {"text": "ko/*", "weight": 1.0}])
    with pytest.raises(EmptyCorpus, match=r"'ko/\*'; it holds: en/prose, ja/prose"):
        absent.run(make_context(tmp_path), text=inputs / "text", model=inputs / "model", output=tmp_path / "tokens")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_held_out_document_among_the_text_is_refused_with_its_name(workers: int, inputs: Path, tmp_path: Path) -> None:
    text = shutil.copytree(inputs / "text", tmp_path / "text")
    leaked = list(read_documents(text / "train/en/prose.jsonl.gz"))[7]
    write_documents(text / "heldout/en.jsonl.gz", [leaked.model_copy(update={"text": "the same, cleaned otherwise"})])
    context = make_context(tmp_path, site=replace(SITE, workers=workers))
    with pytest.raises(InputError, match=r"train/en/prose\.jsonl\.gz: document en07 .* is also held out"):
        packer().run(context, text=text, model=inputs / "model", output=tmp_path / "tokens")
    assert not (tmp_path / "tokens/index.json").exists()


def test_a_model_without_a_tokenizer_is_refused(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no tokenizer: neither tokenizer\.model nor tokenizer\.json"):
        packer().run(make_context(tmp_path), text=inputs / "text", model=tmp_path, output=tmp_path / "tokens")


def test_a_pattern_may_occur_only_once_in_a_mixture() -> None:
    with pytest.raises(ValidationError, match="occurs twice"):
        packer(mixture=[{"text": "ja/*", "weight": 1.0}, {"text": "ja/*", "weight": 2.0}])


def test_what_was_kept_unpacked_is_refused_as_tokens(inputs: Path, tmp_path: Path) -> None:
    keep = PassthroughPacker(kind="passthrough", version=1)
    report = keep.run(make_context(tmp_path), text=inputs / "text", model=inputs / "model", output=tmp_path / "tokens")
    assert report.headline() == "nothing packed"
    with pytest.raises(InputError, match="nothing was packed"):
        TokenShards(tmp_path / "tokens")


def pack_with(inputs: Path, folder: Path, model: Path) -> TokenShards:
    """The text of the inputs, packed with another tokenizer."""
    context = make_context(folder, site=replace(SITE, workers=1))
    packer().run(context, text=inputs / "text", model=model, output=folder / "tokens")
    return TokenShards(folder / "tokens")


def test_the_index_states_what_the_tokenizer_does_and_what_was_counted(inputs: Path, tmp_path: Path) -> None:
    shards = pack(inputs, tmp_path / "tokens")
    assert shards.index.tokenizer_fingerprint == fingerprint_tokenizer(load_tokenizer(inputs / "model"))
    for source in shards.index.sources:
        largest = int(np.fromfile(tmp_path / "tokens" / f"{source.key}.bin", dtype="<u2").max())
        assert (source.bos_fraction, source.eos_fraction, source.largest_id) == (1.0, 1.0, largest)


@pytest.fixture
def both(inputs: Path, tmp_path: Path) -> Path:
    """The model folder with both tokenizer files."""
    shutil.copytree(inputs / "model", tmp_path / "model")
    write_fast_tokenizer(tmp_path / "model", 512)
    return tmp_path / "model"


def test_a_tokenizer_json_of_another_tokenizer_is_refused_with_the_string(inputs: Path, both: Path, tmp_path: Path) -> None:
    delay_merge(both, "h", "e")
    words = r'tokenizer\.json is not the tokenizer of .*"def land\(height\).*" gives \d+ ids'
    with pytest.raises(TokenizerMismatch, match=words):
        pack_with(inputs, tmp_path, both)
    assert not (tmp_path / "tokens").exists()


def test_a_tokenizer_json_that_lost_its_bos_is_refused(inputs: Path, both: Path, tmp_path: Path) -> None:
    lose_bos(both)
    with pytest.raises(TokenizerMismatch, match="BOS is none, expected 1"):
        pack_with(inputs, tmp_path, both)


@pytest.mark.parametrize(("family", "bos"), [("smollm", None), ("llama", "<|endoftext|>")])
def test_a_byte_level_tokenizer_packs_as_transformers_splits(
    family: str, bos: str | None, inputs: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    model = byte_levels.write(tmp_path / "model", byte_levels.small(family))
    shards = pack_with(inputs, tmp_path, model)
    theirs: Any = AutoTokenizer.from_pretrained(model, local_files_only=True)
    assert shards.index.tokenizer_fingerprint.bos == (theirs.convert_tokens_to_ids(bos) if bos else None)
    expected: list[int] = []
    for path in training_files(inputs / "text", "ja/*"):
        for document in read_documents(path):
            expected += [*theirs(document.text, split_special_tokens=True)["input_ids"], theirs.eos_token_id]
    assert np.fromfile(tmp_path / "tokens/0-ja.bin", dtype="<u2").tolist() == expected
    assert shards.index.sources[0].bos_fraction == (1.0 if bos else None)


def test_a_byte_level_tokenizer_gives_the_same_bytes_in_any_number_of_workers(inputs: Path, tmp_path: Path) -> None:
    model = byte_levels.write(tmp_path / "model", byte_levels.small("llama"))
    for workers in (1, 2):
        context = make_context(tmp_path, site=replace(SITE, workers=workers))
        packer().run(context, text=inputs / "text", model=model, output=tmp_path / f"{workers}")
    assert digest_folder(tmp_path / "1") == digest_folder(tmp_path / "2")


def test_a_tokenizer_without_an_eos_is_refused(inputs: Path, tmp_path: Path) -> None:
    model = byte_levels.write(tmp_path / "model", byte_levels.small("smollm"), eos_token=None)
    with pytest.raises(InputError, match=r"tokenizer\.json has no EOS, which must end every document"):
        pack_with(inputs, tmp_path, model)
