"""A training run against itself interrupted; `test_engine.py` holds its numbers against plain PyTorch."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.data.documents import Document, write_documents
from components.data.token_shards import TokenShards
from components.errors import InputError
from components.formats.digests import digest_folder
from components.tokenizers.load import load_tokenizer
from components.tokenizers.tokenizer import Tokenizer
from tests.support.builders.texts import JAPANESE, prose
from tests.support.builders.tiny_training import (
    SEQUENCE_LENGTH,
    attempt,
    context_of,
    packer,
    prepare,
    trainer,
    write_text_and_model,
)
from tests.support.fakes import make_context


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def undisturbed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run's folder, which no test may change."""
    run = tmp_path_factory.mktemp("undisturbed")
    attempt(inputs, run, trainer())
    return run


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_equal_runs(run: Path, undisturbed: Path) -> None:
    """The same bytes, and a metrics file with each step once; held-out text may be measured more often, as checkpoints may."""
    found, expected = (digest_folder(folder / "output") for folder in (run, undisturbed))
    assert found | {"losses.jsonl": ""} == expected | {"losses.jsonl": ""}
    lines, theirs = (read_lines(folder / "output/losses.jsonl") for folder in (run, undisturbed))
    assert [{key: line[key] for key in other} for line, other in zip(lines, theirs, strict=True)] == theirs
    assert [line["step"] for line in read_lines(run / "metrics.jsonl")] == list(range(16))
    counts, expected_counts = (
        [(line["bytes"], line["step_bytes"]) for line in read_lines(folder / "metrics.jsonl")] for folder in (run, undisturbed)
    )
    assert counts == expected_counts


@pytest.mark.parametrize("seed", [7, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(8, 18))])
def test_a_run_interrupted_at_random_moments_goes_on_to_the_same_bytes(
    inputs: Path, undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    """One rank or all killed, or asked to stop, up to eight times, also in the middle of a checkpoint."""
    command = [sys.executable, "-m", "tests.support.ranks.interrupted_training", str(inputs), str(tmp_path), str(seed)]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    assert {name.split(" ")[0] for name, _, _ in done["interruptions"]} >= {"KILL", "TERM", "USR2"}
    assert any(saving for _, _, saving in done["interruptions"])
    assert 4 <= len(done["interruptions"]) <= len(done["ends"])
    stopped = [(re.search(r"stopped by SIG(TERM|USR\d) after step (\d+) of 16", end["words"]), end) for end in done["ends"]]
    steps = [(int(words[2]), end["steps"], end["saved"][-1]) for words, end in stopped if words]
    assert len(steps) >= 2  # SIGTERM and SIGUSR2: each step that was made is saved
    assert steps == [(step, step, f"step-{step:08d}") for step, _, _ in steps]
    assert done["warnings"] == []  # no step that was computed again came out differently
    assert not list((tmp_path / "scratch/checkpoints").glob(".saving-*"))
    assert_equal_runs(tmp_path, undisturbed)


def test_a_pass_over_a_corpus_counts_the_bytes_of_its_text(tmp_path: Path) -> None:
    """And one more a document: the space that SentencePiece puts in front of it."""
    write_text_and_model(tmp_path)
    tokenizer = load_tokenizer(tmp_path / "model")
    texts = [prose(JAPANESE, seed, 8) for seed in range(3)]
    texts[0] += next(tail for tail in map("y".__mul__, range(1000)) if fills_batches(tokenizer, [texts[0] + tail, *texts[1:]]))
    documents = (Document(id=f"{n}", source="own", language="ja", uri="", text=text) for n, text in enumerate(texts))
    write_documents(tmp_path / "text/train/ja/own.jsonl.gz", documents)
    mixture = [{"text": "ja/own", "weight": 1.0}]
    packing = packer(mixture=mixture, heldout_characters={})
    packing.run(make_context(tmp_path), text=tmp_path / "text", model=tmp_path / "model", output=tmp_path / "tokens")
    steps = TokenShards(tmp_path / "tokens").index.sources[0].windows // 4
    attempt(tmp_path, tmp_path / "run", trainer(steps=steps, warmup_steps=1))
    lines = read_lines(tmp_path / "run/metrics.jsonl")
    expected = sum(len(text.encode()) for text in texts) + len(texts)
    assert lines[-1]["bytes"] == sum(line["step_bytes"] for line in lines) == expected


def fills_batches(tokenizer: Tokenizer, texts: list[str]) -> bool:
    """Whether the documents fill global batches to the last token."""
    tokens = sum(len(ids) for ids in tokenizer.encode_documents(texts))
    return (tokens - 1) % (4 * SEQUENCE_LENGTH) == 0


def test_a_damaged_newest_checkpoint_and_lost_metrics_cost_steps_but_change_nothing(
    inputs: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    shutil.rmtree(run / "output")
    shutil.rmtree(run / "scratch/model")
    (run / "metrics.jsonl").unlink()
    newest = sorted((run / "scratch/checkpoints").glob("step-*"))[-1]
    (newest / "state/rank-00000.safetensors").write_bytes(b"torn")
    attempt(inputs, run, trainer())
    assert_equal_runs(run, undisturbed)


def test_a_finished_run_without_its_export_is_only_exported(inputs: Path, undisturbed: Path, tmp_path: Path) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    shutil.rmtree(run / "output")
    shutil.rmtree(run / "scratch/model")
    before = (run / "logs/rank-0.log").read_text().count("@progress")
    attempt(inputs, run, trainer())
    assert_equal_runs(run, undisturbed)
    assert (run / "logs/rank-0.log").read_text().count("@progress") == before > 0  # no step was computed


def test_the_loss_falls_and_the_export_says_what_it_is(inputs: Path, undisturbed: Path) -> None:
    from transformers import AutoTokenizer

    losses = [line["loss"] for line in read_lines(undisturbed / "output/losses.jsonl")]
    assert sum(losses[-4:]) < sum(losses[:4]) - 2
    config = json.loads((undisturbed / "output/config.json").read_text())
    facts = TokenShards(inputs / "tokens").index
    assert {name: config[name] for name in ("architectures", "max_position_embeddings", "vocab_size", "dtype")} == {
        "architectures": ["MistralForCausalLM"], "max_position_embeddings": 64,
        "vocab_size": facts.tokenizer_fingerprint.pieces,
        "dtype": "bfloat16",
    }  # fmt: skip
    assert "_name_or_path" not in config
    assert len(AutoTokenizer.from_pretrained(undisturbed / "output")) == facts.tokenizer_fingerprint.pieces


def test_a_site_that_asks_for_what_the_machine_lacks_is_refused_once(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    context = context_of(tmp_path, processes=2, micro_batch_size=2)
    context = replace(context, site=replace(context.site, fused_kernels=True))
    words = "the site says `fused_kernels: true`, which needs a CUDA device, and there is none. Set it to false."
    with pytest.raises(InputError) as caught:
        trainer().run(context, model=inputs / "model", tokens=inputs / "tokens", output=tmp_path / "output")
    assert str(caught.value) == words
    printed = "".join(capfd.readouterr()) + "".join(path.read_text() for path in (tmp_path / "logs").glob("rank-*.log"))
    assert "fused_kernels" not in printed
