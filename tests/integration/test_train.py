"""DeepSpeed against plain PyTorch, against itself in other shapes, and against itself interrupted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.base import Context
from components.formats.digests import digest_folder
from components.formats.tokens import TokenShards
from components.train.deepspeed import DeepSpeedTrainer
from components.train.schedule import Schedule
from tests.tiny_training import ARCHITECTURE, attempt, context_of, prepare, trainer

EXACT = {"precision": "fp32", "steps": 6, "warmup_steps": 2, "checkpoint_every_steps": 100}
MIXTRAL = ARCHITECTURE | {"experts": 4, "experts_per_token": 2}


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


def build(inputs: Path, component: DeepSpeedTrainer) -> Any:
    """The model that training begins with."""
    from components.train.worker_model import build_config, build_model

    index = TokenShards(inputs / "tokens").index
    config = build_config(component.training, inputs / "model", index)
    return build_model(component.training, inputs / "model", config)


def with_weights(inputs: Path, folder: Path) -> Path:
    """The inputs once more, with a model that has weights."""
    shutil.copytree(inputs, folder)
    build(inputs, trainer(**EXACT)).save_pretrained(folder / "model")
    return folder


def train_by_hand(inputs: Path, component: DeepSpeedTrainer) -> tuple[list[float], list[float], dict[str, Any]]:
    """The same training in plain PyTorch, one batch a step, every formula written out: losses, norms, weights."""
    import numpy as np
    import torch

    training, shards, model = component.training, TokenShards(inputs / "tokens"), build(inputs, component)
    schedule = Schedule(
        training.steps, training.warmup_steps, training.learning_rate, training.minimum_learning_rate
    )
    beta1, beta2 = training.adam_betas
    state = {name: (torch.zeros_like(weight), torch.zeros_like(weight)) for name, weight in model.named_parameters()}
    losses, norms = [], []
    for step in range(training.steps):
        first = step * training.global_batch_size
        batch = np.stack([shards.sample(first + number) for number in range(training.global_batch_size)])
        tokens = torch.from_numpy(batch)
        scores = torch.log_softmax(model(input_ids=tokens[:, :-1]).logits, dim=-1)
        loss = -scores.gather(-1, tokens[:, 1:, None]).mean()
        model.zero_grad()
        loss.backward()
        norm = torch.sqrt(sum((weight.grad.square().sum() for weight in model.parameters()), torch.zeros(())))
        scale = min(1.0, training.gradient_clipping / (norm.item() + 1e-6))
        with torch.no_grad():
            for name, weight in model.named_parameters():
                decays = training.decay == "all" or weight.dim() > 1
                gradient, (mean, square) = weight.grad * scale, state[name]
                mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
                square.mul_(beta2).add_(gradient.square(), alpha=1 - beta2)
                weight.mul_(1 - schedule.at(step) * training.weight_decay * decays)
                bottom = (square / (1 - beta2 ** (step + 1))).sqrt() + training.adam_epsilon
                weight.sub_(schedule.at(step) * (mean / (1 - beta1 ** (step + 1))) / bottom)
        losses.append(loss.item())
        norms.append(norm.item())
    return losses, norms, {name: weight.detach() for name, weight in model.named_parameters()}


@pytest.mark.parametrize(
    ("processes", "micro_batch_size", "changes"),
    [
        (1, 4, {"zero_stage": 1, "decay": "all", "weight_decay": 5.0}),
        (1, 1, {"zero_stage": 2, "gradient_clipping": 0.3, "weight_decay": 5.0}),
        (2, 1, {"zero_stage": 3, "architecture": None, "activation_checkpointing": True}),
    ],
    ids=["one batch", "accumulated 4 × 1", "a model from a folder, two processes, accumulated 2 × 1"],
)
def test_every_step_equals_plain_pytorch_with_each_formula_written_out(
    processes: int, micro_batch_size: int, changes: dict[str, Any], inputs: Path, tmp_path: Path
) -> None:
    """In fp32, to the rounding of sums in another order: 1e-7 of a loss or a norm, 2e-6 in a weight when measured."""
    from safetensors.torch import load_file

    component = trainer(**EXACT, **changes)
    folder = inputs if component.architecture else with_weights(inputs, tmp_path / "inputs")
    losses, norms, weights = train_by_hand(folder, component)
    attempt(folder, tmp_path, component, processes=processes, micro_batch_size=micro_batch_size)
    found = read_lines(tmp_path / "output/losses.jsonl")
    assert [line["loss"] for line in found] == pytest.approx(losses, rel=2e-6)
    assert [line["gradient_norm"] for line in found] == pytest.approx(norms, rel=2e-6)
    exported = load_file(tmp_path / "output/model.safetensors")
    assert exported.keys() == weights.keys()
    for name, weight in weights.items():
        assert (exported[name] - weight).abs().max() < 2e-5, name


@pytest.mark.parametrize(
    "changes",
    [
        {"zero_stage": 1, "architecture": ARCHITECTURE | {"tie_word_embeddings": True}},
        {"zero_stage": 3, "architecture": MIXTRAL, "router_auxiliary_loss": 0.02},
    ],
    ids=["Mistral with tied embeddings, ZeRO-1", "Mixtral, ZeRO-3"],
)
def test_exported_logits_equal_the_engines_and_weights_began_at_mistrals_deviation(
    changes: dict[str, Any], inputs: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    component = trainer(steps=3, **changes)
    context: Context = context_of(tmp_path, processes=2, micro_batch_size=2)
    made = component._prepare(context, inputs / "model", inputs / "tokens", tmp_path / "output")
    (tmp_path / "attempt.json").write_text(made.model_dump_json())
    context.launcher.run("tests.logits_worker", [str(tmp_path / "attempt.json")], processes=2, environment={})
    engine = load_file(context.scratch / "engine.safetensors")
    logits, tokens = engine.pop("logits"), engine.pop("tokens")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "output", dtype=torch.bfloat16)
    with torch.no_grad():
        assert torch.equal(model(input_ids=tokens).logits, logits)
    for name, deviation in engine.items():
        assert float(deviation) == pytest.approx(0.02, rel=0.15), name
    router_losses = [line.get("router_loss") for line in read_lines(tmp_path / "output/losses.jsonl")]
    assert all(router_losses) == (component.router_auxiliary_loss is not None)


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


def rank_process(parent: int, rank: int) -> int:
    """The pid of a rank that this process started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1] == str(parent):
                variables = folder.joinpath("environ").read_bytes().split(b"\0")
                if b"RANK=%d" % rank in variables:
                    return int(folder.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise AssertionError(f"process {parent} has no rank {rank}")


def assert_equal_runs(run: Path, undisturbed: Path) -> None:
    """The same bytes, and a metrics file with each step once."""
    assert digest_folder(run / "output") == digest_folder(undisturbed / "output")
    assert [line["step"] for line in read_lines(run / "metrics.jsonl")] == list(range(16))


def test_a_run_whose_rank_was_killed_goes_on_to_the_same_bytes(inputs: Path, undisturbed: Path, tmp_path: Path) -> None:
    with start(inputs, tmp_path) as process:
        wait_for_step(tmp_path, 5, process)
        os.kill(rank_process(process.pid, 1), signal.SIGKILL)
        assert process.stderr
        words = process.stderr.read()
    assert process.returncode == 1
    assert "rank 1 of 2 was killed by SIGKILL" in words
    attempt(inputs, tmp_path, trainer())
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
    (run / "metrics.jsonl").unlink()
    newest = sorted((run / "scratch/checkpoints").glob("step-*"))[-1]
    (newest / "state/mp_rank_00_model_states.pt").write_bytes(b"torn")
    attempt(inputs, run, trainer())
    assert_equal_runs(run, undisturbed)


def test_a_finished_run_without_its_export_is_only_exported(inputs: Path, undisturbed: Path, tmp_path: Path) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    shutil.rmtree(run / "output")
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
