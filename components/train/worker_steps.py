"""The training loop: batches in; updates, a line of metrics a step, checkpoints and a model folder out."""

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import deepspeed
import numpy as np
import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy

from components.errors import WorkerFailed
from components.formats.files import write_text
from components.formats.tokens import TokenShards
from components.train import checkpoints
from components.train.attempt import Attempt, Outcome
from components.train.batches import BatchPlan
from components.train.checkpoints import Manifest
from components.train.metrics import Line, MetricsFile, deterministic, read_lines, write_lines
from components.train.schedule import Schedule
from components.train.worker_engine import build_engine, device, sharded_construction
from components.train.worker_model import build_config, build_model

PROGRESS_SECONDS = 0.5


def train(attempt: Attempt, asked_to_stop: Callable[[], int]) -> None:
    """Trains from the attempt's checkpoint to the end, or to the step at which a signal asks any rank to stop."""
    run = Run(attempt)
    for step in range(attempt.step, attempt.training.steps):
        if number := run.agree(asked_to_stop()):
            run.save(step)
            run.leave(Outcome(finished=False, step=step, signal=signal.Signals(number).name))
            return
        run.record(run.update(step))
        if (step + 1) % attempt.training.checkpoint_every_steps == 0:
            run.save(step + 1)
    run.save(attempt.training.steps)
    run.export()
    run.leave(Outcome(finished=True, step=attempt.training.steps, signal=None))


class Run:
    """One rank of a training run: the engine, the data, and the losses so far (rank 0 writes for all)."""

    def __init__(self, attempt: Attempt) -> None:
        """Builds everything, and loads the attempt's checkpoint."""
        training = attempt.training
        self.attempt, self.training = attempt, training
        self.rank, self.processes = dist.get_rank(), dist.get_world_size()
        self.plan = BatchPlan(training.global_batch_size, attempt.micro_batch_size, self.processes)
        self.schedule = Schedule(
            training.steps, training.warmup_steps, training.learning_rate, training.minimum_learning_rate
        )
        self.shards = TokenShards(attempt.tokens)
        config = build_config(training, attempt.model, self.shards.index)
        with sharded_construction(training, self.plan):
            self.engine = build_engine(build_model(training, attempt.model, config), training, self.plan)
        self.lines: list[Line] = []
        self.saved = attempt.step
        self.printed = 0.0
        if attempt.checkpoint:
            self.engine.load_checkpoint(str(attempt.checkpoint), tag="state")
            self.lines = read_lines(attempt.checkpoint / "metrics.jsonl")
        self.metrics = MetricsFile(attempt.metrics) if self.rank == 0 else None
        if self.metrics:
            for line in self.lines:  # a retry in another place finds an empty file
                self.metrics.add(line)

    def agree(self, number: int) -> int:
        """The highest signal number that any rank heard (0: none): all ranks stop at the same step."""
        heard = torch.tensor(number, device=device())
        dist.all_reduce(heard, op=dist.ReduceOp.MAX)
        return int(heard)

    def update(self, step: int) -> Line:
        """One update of the weights with global batch `step`; returns its line of metrics."""
        started, waited = time.perf_counter(), 0.0
        rate = self.schedule.at(step)
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        sums = torch.zeros(2, dtype=torch.float64, device=device())
        for samples in self.plan.samples(step, self.rank):
            before = time.perf_counter()
            tokens = torch.from_numpy(np.stack([self.shards.sample(number) for number in samples])).to(device())
            waited += time.perf_counter() - before
            loss, router_loss = self.losses_of(tokens)
            self.engine.backward(loss + (self.training.router_auxiliary_loss or 0.0) * router_loss)
            self.engine.step()
            sums += torch.stack([loss.detach(), router_loss.detach()]).double()
        dist.all_reduce(sums)
        loss, router_loss = (sums / (self.plan.accumulation * self.processes)).tolist()
        seconds = time.perf_counter() - started
        batch = self.training.global_batch_size * self.training.sequence_length
        router = {} if self.training.router_auxiliary_loss is None else {"router_loss": router_loss}
        return {
            "step": step, "time": time.time_ns() // 1_000_000, "loss": loss, **router, "learning_rate": rate,
            "gradient_norm": float(self.engine.get_global_grad_norm()), "tokens": (step + 1) * batch,
            "tokens_per_second": round(batch / seconds, 1), "step_seconds": round(seconds, 6),
            "data_seconds": round(waited, 6),
        }  # fmt: skip

    def losses_of(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean cross-entropy in nats of (micro-batch, sequence + 1) tokens, in fp32, and the router's loss or 0.

        Labels are shifted here and nowhere else: the model is not given any. Every micro-batch has as many targets as
        any other, so the mean of their means is the global batch's mean.
        """
        router = {} if self.training.router_auxiliary_loss is None else {"output_router_logits": True}
        output = self.engine(input_ids=tokens[:, :-1], use_cache=False, **router)
        loss = cross_entropy(output.logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        return loss, output.aux_loss.float() if router else torch.zeros_like(loss)

    def record(self, line: Line) -> None:
        """Keeps and writes the step's line. Raises `WorkerFailed` where the loss is no number any more."""
        if not isfinite(line["loss"] + line["gradient_norm"]):
            raise WorkerFailed(
                f"step {line['step']:,}: loss {line['loss']}, gradient norm {line['gradient_norm']}. Training diverged; "
                "lower learning_rate or gradient_clipping, or lengthen warmup_steps."
            )
        self.lines.append(line)
        if self.metrics is None:
            return
        if warning := self.metrics.add(line):
            say(warning)
        done, total = line["step"] + 1, self.training.steps
        if done == total or time.monotonic() - self.printed > PROGRESS_SECONDS:
            self.printed = time.monotonic()
            text = f"loss {line['loss']:.3f}, {line['tokens_per_second']:,.0f} tokens/s"
            say("@progress " + json.dumps({"done": done, "total": total, "text": text}))

    def save(self, step: int) -> None:
        """Writes the checkpoint after `step` updates, unless it is there already; all ranks take part."""
        if step == self.saved:
            return
        folder = self.attempt.scratch / "checkpoints"
        saving = checkpoints.saving_path(folder, step)
        if self.rank == 0:
            shutil.rmtree(saving, ignore_errors=True)
            saving.mkdir(parents=True)
            write_lines(saving / "metrics.jsonl", self.lines)
        dist.barrier()
        self.engine.save_checkpoint(str(saving), tag="state", save_latest=False)
        dist.barrier()
        files = self.digests(saving)
        if self.rank == 0:
            manifest = Manifest(
                fingerprint=self.attempt.fingerprint, step=step, processes=self.processes, files=files
            )
            checkpoints.commit(saving, checkpoints.checkpoint_path(folder, step), manifest)
            checkpoints.prune(folder, self.training.keep_checkpoints)
        dist.barrier()
        self.saved = step

    def digests(self, folder: Path) -> dict[str, checkpoints.FileFacts]:
        """The facts of every file below a folder: each rank reads its share of them."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        share = {str(path.relative_to(folder)): checkpoints.facts_of(path) for path in files[self.rank :: self.processes]}
        shares: list[Any] = [None] * self.processes
        dist.all_gather_object(shares, share)
        return {name: facts for part in shares for name, facts in sorted(part.items())}

    def weights(self) -> dict[str, torch.Tensor]:
        """The model's weights as the engine computes with them: on rank 0 all of them, elsewhere none."""
        if self.training.zero_stage < 3:
            return dict(self.engine.module.state_dict()) if self.rank == 0 else {}
        whole = {}
        for name, parameter in self.engine.module.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter]):
                if self.rank == 0:
                    whole[name] = parameter.detach().cpu().clone()
        return whole

    def export(self) -> None:
        """Writes weights and configuration below `output`, under the hub's names, and the losses of every step."""
        weights = self.weights()
        if self.rank == 0:
            self.engine.module.save_pretrained(self.attempt.output, state_dict=weights)
            write_lines(self.attempt.output / "losses.jsonl", map(deterministic, self.lines))
            for path in self.attempt.output.glob("*.safetensors"):
                path.chmod(0o644)  # the library leaves them to their owner alone

    def leave(self, outcome: Outcome) -> None:
        """States how the attempt ended."""
        if self.rank == 0:
            write_text(self.attempt.scratch / "outcome.json", outcome.model_dump_json())


def say(text: str) -> None:
    """Prints one line at once: standard output is what the stage's reader sees."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
