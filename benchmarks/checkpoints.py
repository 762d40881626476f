"""How long training stands still for a checkpoint: `Saver` against DeepSpeed's `save_checkpoint` with digests.

`make bench-checkpoints` prints one JSON line for each figure; the exit code is 1 if a goal is missed. There is one process,
with ZeRO-2 and bf16, and a Mistral of 42 million weights: half a gigabyte of state. Both sides write the same state, and read
every byte of it for its SHA-256.
"""

import os
import shutil
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.timing import seconds
from components.params import component_of, load_params
from components.train.checkpoint.store import facts_of
from components.train.loop.worker import prepare_deepspeed
from components.train.parameters import TrainingParameters
from components.train.request import Kernels, TrainingRequest

ROUNDS = 5
KINDS = ("asynchronous", "synchronous")
STALL_GOAL = 0.10  # of the peer's time
LENGTH, VOCABULARY = 64, 32_000
SHAPE = {"hidden_size": 512, "intermediate_size": 1_536, "num_hidden_layers": 3, "num_attention_heads": 8,
         "num_key_value_heads": 4, "vocab_size": VOCABULARY, "max_position_embeddings": LENGTH}  # fmt: skip
TRIED = {
    "global_batch_size": 1, "zero_stage": 2, "precision": "bf16",
    "keep_checkpoints": {"last": 1, "every_steps": None, "best": False},
}


def figures() -> list[dict[str, Any]]:
    """The figures of asynchronous and synchronous checkpoints."""
    Path(".build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=Path(".build")) as folder:
        os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "OMP_NUM_THREADS": "1",
                       "MARTLET_RENDEZVOUS": (Path(folder).absolute() / "rendezvous").as_uri(),
                       "THP_MEM_ALLOC_ENABLE": "1"}  # fmt: skip
        prepare_deepspeed()
        return measure(Path(folder))


def measure(folder: Path) -> list[dict[str, Any]]:
    """Saves in three ways in turn, with an update after each round."""
    from components.train.process_group import open_process_group

    with open_process_group():
        engine = built()
        update(engine)
        savers = {kind: saver_of(engine, folder / kind, asynchronous=kind == "asynchronous") for kind in KINDS}
        times: dict[str, list[float]] = {kind: [] for kind in (*KINDS, "peer", "background")}
        for round_number in range(1, ROUNDS + 1):
            for kind, saver in savers.items():
                times[kind].append(seconds(partial(saver.save, round_number, [])))
                if kind == "asynchronous":
                    times["background"].append(seconds(saver.wait))
            times["peer"].append(seconds(partial(peer, engine, folder / "peer")))
            update(engine)
        size = sum(path.stat().st_size for path in (folder / "asynchronous").rglob("*.safetensors"))
    middle = {kind: statistics.median(column) for kind, column in times.items()}
    extra = {"first": round(times["asynchronous"][0], 3), "background": round(middle["background"], 3)}
    stall = figure("checkpoints-stall", middle["asynchronous"], middle["peer"], STALL_GOAL)
    sync = figure("checkpoints-synchronous", middle["synchronous"], middle["peer"], 1.0)
    return [stall | {"megabytes": size // 10**6} | extra, sync | {"megabytes": size // 10**6}]


def figure(name: str, mine: float, theirs: float, goal: float) -> dict[str, Any]:
    """One figure, as it is printed."""
    return {
        "bench": name, "ours": round(mine, 3), "peer": round(theirs, 3), "peer_name": "engine.save_checkpoint and digests",
        "unit": "s", "ratio": round(mine / theirs, 3), "goal": f"<= {goal}", "pass": mine / theirs <= goal,
    }  # fmt: skip


def training() -> TrainingParameters:
    """The smoke recipe's parameters, except for those that matter here."""
    component = component_of(load_params(Path("recipes/smoke.yaml")), "train_base")
    values = {name: getattr(component, name) for name in TrainingParameters.model_fields}
    return TrainingParameters.model_validate(values | TRIED)


def kernels() -> Kernels:
    """Plain kernels."""
    return Kernels(attention_implementation="sdpa", compile=False, fused_kernels=False)


def built() -> Any:
    """An engine around random weights."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    from components.data.batches import BatchPlan
    from components.train.loop.engine import build_engine

    model = MistralForCausalLM(MistralConfig(**SHAPE)).to(torch.bfloat16)
    return build_engine(model, training(), BatchPlan(1, 1, 1), kernels())


def update(engine: Any) -> None:
    """Changes every weight and every moment."""
    import torch

    tokens = torch.arange(LENGTH)[None]
    engine.backward(engine(input_ids=tokens, use_cache=False).logits.float().square().mean())
    engine.step()


def saver_of(engine: Any, folder: Path, *, asynchronous: bool) -> Any:
    """A saver as training uses it."""
    import numpy as np

    from components.train.checkpoint.probe import LossProbe
    from components.train.checkpoint.saver import Saver

    attempt = TrainingRequest(
        training=training(), model=folder, tokens=folder, output=folder, scratch=folder, metrics=folder / "metrics.jsonl",
        fingerprint="", micro_batch_size=1, kernels=kernels(), asynchronous_checkpoints=asynchronous,
        accelerator_tflops=None, workers=1,
    )  # fmt: skip
    return Saver(attempt, engine, LossProbe(engine, np.arange(LENGTH)))


def peer(engine: Any, folder: Path) -> None:
    """DeepSpeed's own checkpoint, with what makes it trustworthy: every file is synced and digested."""
    shutil.rmtree(folder, ignore_errors=True)
    engine.save_checkpoint(str(folder), tag="state", save_latest=False)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            facts_of(path)
