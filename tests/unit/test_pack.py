"""Packing: BOS + text + EOS, the same bytes at any number of workers, and clear words where something is missing."""

from dataclasses import replace
from pathlib import Path

import pytest
import sentencepiece
from pydantic import ValidationError

from components.errors import EmptyCorpus, InputError
from components.formats.digests import digest_folder
from components.formats.documents import read_documents, training_files
from components.formats.tokens import TokenShards
from components.pack.keep import KeepUnpacked
from tests.fakes import SITE, make_context
from tests.tiny_training import packer, write_text_and_model


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_text_and_model(folder)
    return folder


def pack(inputs: Path, output: Path, workers: int = 1) -> TokenShards:
    context = make_context(output.parent, site=replace(SITE, workers=workers))
    packer().run(context, text=inputs / "text", model=inputs / "model", output=output)
    return TokenShards(output)


def test_documents_lie_end_to_end_framed_by_bos_and_eos(inputs: Path, tmp_path: Path) -> None:
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


def test_a_model_without_a_tokenizer_is_refused(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no tokenizer\.model"):
        packer().run(make_context(tmp_path), text=inputs / "text", model=tmp_path, output=tmp_path / "tokens")


def test_a_pattern_may_occur_only_once_in_a_mixture() -> None:
    with pytest.raises(ValidationError, match="occurs twice"):
        packer(mixture=[{"text": "ja/*", "weight": 1.0}, {"text": "ja/*", "weight": 2.0}])


def test_what_was_kept_unpacked_is_refused_as_tokens(inputs: Path, tmp_path: Path) -> None:
    keep = KeepUnpacked(kind="keep", version=1)
    report = keep.run(make_context(tmp_path), text=inputs / "text", model=inputs / "model", output=tmp_path / "tokens")
    assert report.headline() == "nothing packed"
    with pytest.raises(InputError, match="nothing was packed"):
        TokenShards(tmp_path / "tokens")
