"""How fast our training step is against a bare PyTorch loop: the smoke run's model and micro-batches, one process, on the CPU.

`make bench-train` prints one JSON line for each figure; the exit code is 1 if a goal is missed. Both run in this process and
take turns, step by step. The loop does what our step must do: it sums gradients over micro-batches, clips them, and updates
with AdamW; in bf16 it keeps fp32 master weights, moments and sums of gradients.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.timing import seconds

ROUNDS, WARM_UP = 15, 3
SLOWER_GOAL = 1.05  # times the loop's step in fp32
SPEED_GOAL = 0.90  # of the loop's speed in bf16 with ZeRO-1
WAIT_GOAL = 0.005  # of a step, waiting for data
RECIPE = Path(__file__).parents[1] / "recipes/smoke.yaml"


def figures() -> Iterator[dict[str, Any]]:
    """The figures of both precisions."""
    with tempfile.TemporaryDirectory() as folder:
        alone(Path(folder))
        from components.train.loop.worker import prepare_deepspeed

        prepare_deepspeed()
        from components.train.process_group import open_process_group

        with open_process_group():
            yield from compare("fp32", Path(folder) / "fp32")
            yield from compare("bf16", Path(folder) / "bf16")


def alone(folder: Path) -> None:
    """Makes this process the only rank, with the trainer's environment."""
    from components.train.environment import ENVIRONMENT

    rank = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    place = {"MARTLET_RENDEZVOUS": (folder / "rendezvous").as_uri(), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    os.environ |= rank | place | ENVIRONMENT


def compare(precision: str, folder: Path) -> list[dict[str, Any]]:
    """The figures of one precision."""
    from components.train.loop.steps import TrainingLoop
    from components.train.planning.profile import make_request
    from infra.sites import load_site

    training, summary = smoke(precision)
    site = load_site("local", ["train_processes=1"])
    request = make_request(training, summary, site, folder)
    run = TrainingLoop(request)
    peer = loop(run, precision)
    lines, pairs = [], []
    for step in range(ROUNDS + WARM_UP):
        begin = time.perf_counter()
        lines.append(run.update(step))
        pairs.append((time.perf_counter() - begin, seconds(partial(peer, step))))
    mine, theirs = (statistics.median(column) for column in zip(*pairs[WARM_UP:], strict=True))
    ratio = statistics.median(ours / other for ours, other in pairs[WARM_UP:])
    figure = {"bench": f"train-{precision}", "ours": round(mine, 4), "peer": round(theirs, 4), "peer_name": "a PyTorch loop"}
    if precision == "bf16":
        speed = statistics.median(other / ours for ours, other in pairs[WARM_UP:])
        return [{**figure, "unit": "s a step, ZeRO-1", "ratio": round(speed, 3), "goal": f">= {SPEED_GOAL} of its speed",
                 "pass": speed >= SPEED_GOAL}]  # fmt: skip
    wait = statistics.median(line["data_seconds"] / line["step_seconds"] for line in lines[WARM_UP:])
    return [
        {**figure, "unit": "s a step, ZeRO-1", "ratio": round(ratio, 3), "goal": f"<= {SLOWER_GOAL} of its time",
         "pass": ratio <= SLOWER_GOAL},
        {"bench": "train-data-wait", "ours": round(wait, 6), "unit": "of a step", "goal": f"< {WAIT_GOAL}",
         "pass": wait < WAIT_GOAL},
    ]  # fmt: skip


def smoke(precision: str) -> tuple[Any, Any]:
    """The smoke recipe's training in another precision, and its model's summary."""
    from components.params import load_params
    from flows.commands.plan import summaries_before

    params = load_params(RECIPE)
    assert params.train.kind == "deepspeed"
    changes = {"precision": precision, "zero_stage": 1}
    return params.train.training.model_copy(update=changes), summaries_before(params, Path("nowhere"))["train"]


def loop(run: Any, precision: str) -> Callable[[int], None]:
    """One step of plain PyTorch, on a model of its own: the same shape, data and micro-batches."""
    import numpy as np
    import torch

    from components.train.loop.engine import parameter_groups
    from components.train.loop.model import build_config, build_model

    training, request = run.training, run.request
    config = build_config(training, request.model, run.shards.index)
    model = build_model(training, request.model, config, request.kernels)
    weights = list(model.parameters())
    masters = [weight.detach().float().clone().requires_grad_() for weight in weights] if precision == "bf16" else weights
    by_weight = dict(zip(map(id, weights), masters, strict=True))
    groups = [
        group | {"params": [by_weight[id(weight)] for weight in group["params"]]} for group in parameter_groups(model, training)
    ]
    adam = torch.optim.AdamW(
        groups, lr=training.learning_rate, betas=training.adam_betas, eps=training.adam_epsilon, fused=True
    )
    batches = run.plan.accumulation

    def step(number: int) -> None:
        for samples in run.plan.samples(number, 0):
            tokens = torch.from_numpy(np.stack([run.shards.sample(sample) for sample in samples]))
            logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
            (loss / batches).backward()
            if precision == "bf16":
                add_up(weights, masters)
        torch.nn.utils.clip_grad_norm_(masters, training.gradient_clipping)
        adam.step()
        adam.zero_grad()
        if precision == "bf16":
            with torch.no_grad():
                for weight, master in zip(weights, masters, strict=True):
                    weight.copy_(master)

    return step


def add_up(weights: list[Any], masters: list[Any]) -> None:
    """Adds the bf16 gradients to the fp32 ones, and clears the former."""
    for weight, master in zip(weights, masters, strict=True):
        if master.grad is None:
            master.grad = weight.grad.float()
        else:
            master.grad.add_(weight.grad)
        weight.grad = None
