"""A GGUF becomes a model folder that means the same, or a message that says why not."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from gguf import dequantize
from gguf.gguf_reader import GGUFReader
from safetensors.numpy import load_file

from components.collect.gguf_worker import convert_gguf
from components.collect.warc import WarcCollector
from components.errors import SourceMissing
from components.models.folder import check_rows, read_config
from components.tokenizers.special_tokens import folder_tokenizer_fingerprint
from tests.support.builders import byte_levels
from tests.support.builders.tiny_gguf import HEADS, KEY_VALUE_HEADS, WIDTH, write_gguf
from tests.support.fakes import make_context


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", byte_levels.small("smollm"))


def test_the_tokenizer_does_what_the_one_did_that_the_file_was_made_of(file: Path, tmp_path: Path) -> None:
    convert_gguf(file, tmp_path / "model")
    original = byte_levels.write(tmp_path / "original", byte_levels.small("smollm"), **{"bos_token": "<|im_start|>"})
    assert folder_tokenizer_fingerprint(tmp_path / "model") == folder_tokenizer_fingerprint(original)
    assert (tmp_path / "model/chat_template.jinja").read_text() == "{{ messages }}"


def test_weights_are_what_the_blocks_say_and_configuration_what_was_meant(file: Path, tmp_path: Path) -> None:
    convert_gguf(file, tmp_path)
    stored = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in GGUFReader(file).tensors}
    weights, config = load_file(tmp_path / "model.safetensors"), read_config(tmp_path)
    assert len(weights) == len(stored)
    assert (weights["model.layers.1.mlp.down_proj.weight"] == stored["blk.1.ffn_down.weight"]).all()
    for name, heads in {"q": HEADS, "k": KEY_VALUE_HEADS}.items():
        found, half = weights[f"model.layers.0.self_attn.{name}_proj.weight"], WIDTH // HEADS // 2
        rows = stored[f"blk.0.attn_{name}.weight"]
        for head in range(heads):
            begin = head * 2 * half
            for pair in range(half):  # llama.cpp turns rows 2n and 2n + 1 together, transformers rows n and n + half
                assert (found[begin + pair] == rows[begin + 2 * pair]).all()
                assert (found[begin + half + pair] == rows[begin + 2 * pair + 1]).all()
    assert (config["rms_norm_eps"], config["rope_theta"], config["tie_word_embeddings"]) == (1e-5, 50_000.0, True)
    check_rows(tmp_path, config["vocab_size"])


def test_the_same_file_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        convert_gguf(file, tmp_path / name)
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    ]
    assert digests[0] == digests[1]
    assert set(digests[0]) == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
    }


@pytest.mark.parametrize(("changes", "words"), [
    ({"architecture": "qwen2"}, r"tiny\.gguf holds 'qwen2', but the architecture 'llama'.*as safetensors"),
    ({"pre": "llama-bpe"}, r"cuts text as 'llama-bpe'; expected 'gpt2' that cuts it as one of gpt-2, smollm\. Take the model"),
    ({"more": "rope_freqs.weight"}, r"holds the tensor rope_freqs\.weight, which is not a Llama's"),
], ids=["architecture", "tokenizer", "tensor"])
def test_what_is_not_known_is_refused_with_the_next_step(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", byte_levels.small("smollm"), **changes)
    with pytest.raises(SourceMissing, match=words):
        convert_gguf(file, tmp_path / "model")
    assert not (tmp_path / "model/model.safetensors").exists()


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"no such thing" * 100)
    with pytest.raises(SourceMissing, match=r"tiny\.gguf is not a GGUF file"):
        convert_gguf(tmp_path / "tiny.gguf", tmp_path / "model")


def collector(folder: Path) -> WarcCollector:
    """A page, and the GGUF of a folder as the model."""
    from components.collect.source import measure

    source = {"kind": "local", "name": "page", "path": str(folder / "page.html"), "language": "en", "licence": "CC0-1.0",
              "sha256": measure(folder / "page.html").sha256}
    model = {"kind": "local", "name": "tiny", "path": str(folder / "tiny.gguf"), "licence": "Apache-2.0",
             "sha256": measure(folder / "tiny.gguf").sha256}
    return WarcCollector.model_validate({"kind": "warc", "version": 1, "sources": [source], "model": model})


def test_collect_puts_a_model_folder_where_a_gguf_was_named(file: Path, tmp_path: Path) -> None:
    shutil.copyfile(file, tmp_path / "tiny.gguf")
    (tmp_path / "page.html").write_text("<p>One page.</p>")
    report = collector(tmp_path).run(make_context(tmp_path), tmp_path / "output")
    assert "model.safetensors" in report.model_files
    assert not any(name.endswith(".gguf") for name in report.model_files)


def test_a_missing_package_is_named_before_anything_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copyfile(file, tmp_path / "tiny.gguf")
    (tmp_path / "page.html").write_text("<p>One page.</p>")
    stage = collector(tmp_path)
    assert stage.preflight() == []
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert [words for words in stage.preflight() if "install martlet[gguf]" in words]
    other = stage.model_copy(update={"model": stage.model.model_copy(update={"path": "a/folder"})})
    assert other.preflight() == []
