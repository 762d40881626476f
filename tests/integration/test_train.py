"""A training run against itself interrupted; `test_engine.py` holds its numbers against plain PyTorch."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.formats.digests import digest_folder
from components.formats.tokens import TokenShards
from tests.tiny_training import attempt, prepare, trainer


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


def start(inputs: Path, run: Path) -> "subprocess.Popen[str]":
    """The tiny training in a process of its own."""
    command = [sys.executable, "-m", "tests.tiny_training", str(inputs), str(run)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_step(run: Path, step: int, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_text().count("\n") <= step:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until, "no step in two minutes"
        time.sleep(0.005)


def assert_equal_runs(run: Path, undisturbed: Path) -> None:
    """The same bytes, and a metrics file with each step once."""
    assert digest_folder(run / "output") == digest_folder(undisturbed / "output")
    assert [line["step"] for line in read_lines(run / "metrics.jsonl")] == list(range(16))


def test_a_run_interrupted_at_random_moments_goes_on_to_the_same_bytes(
    inputs: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """One rank or all killed, or asked to stop, up to eight times, also in the middle of a checkpoint."""
    command = [sys.executable, "-m", "tests.interrupted_training", str(inputs), str(tmp_path), "7"]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    assert {name.split(" ")[0] for name, _, _ in done["interruptions"]} >= {"KILL", "TERM", "USR2"}
    assert any(saving for _, _, saving in done["interruptions"])
    assert 4 <= len(done["interruptions"]) < done["attempts"]
    assert done["warnings"] == []  # no step that was computed again came out differently
    assert not list((tmp_path / "scratch/checkpoints").glob(".saving-*"))
    assert_equal_runs(tmp_path, undisturbed)


def test_a_run_stopped_by_sigterm_keeps_its_steps_and_goes_on_to_the_same_bytes(
    inputs: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with start(inputs, tmp_path) as process:
        wait_for_step(tmp_path, 5, process)
        process.terminate()
        assert process.stderr
        words = process.stderr.read()
    assert process.returncode == 1
    assert "stopped by SIGTERM after step" in words
    steps = len(read_lines(tmp_path / "metrics.jsonl"))
    assert (tmp_path / f"scratch/checkpoints/step-{steps:08d}/manifest.json").exists()
    attempt(inputs, tmp_path, trainer())
    assert_equal_runs(tmp_path, undisturbed)


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
        "architectures": ["MistralForCausalLM"], "max_position_embeddings": 64, "vocab_size": facts.behaviour.pieces,
        "dtype": "bfloat16",
    }  # fmt: skip
    assert "_name_or_path" not in config
    assert len(AutoTokenizer.from_pretrained(undisturbed / "output")) == facts.behaviour.pieces
