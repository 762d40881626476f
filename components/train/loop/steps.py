"""The training loop: batches in; updates, a line of metrics a step, checkpoints and a model folder out."""

import shutil
import signal
import time
from collections.abc import Callable
from math import isfinite

import numpy as np
import torch
import torch.distributed as dist

from components.data.batches import BatchPlan, batch_at
from components.data.token_shards import TokenShards
from components.errors import WorkerFailed
from components.formats.files import write_text
from components.ranks.signals import print_progress
from components.train.checkpoint.probe import LossProbe
from components.train.checkpoint.saver import Saver
from components.train.checkpoint.start import BEGINNING, Start, find_start, say
from components.train.loop.engine import build_engine, sharded_construction
from components.train.loop.export import export
from components.train.loop.heldout import Heldout
from components.train.loop.losses import Objective, losses_of
from components.train.loop.model import build_config, build_model
from components.train.loop.spikes import LossWatch
from components.train.loop.step_metrics import StepMetrics, TextCount, by_source
from components.train.metrics import Line, MetricsFile, deterministic, write_lines
from components.train.parameters import Outcome, TrainingRequest
from components.train.process_group import device
from components.train.schedules.cosine import Schedule

PROGRESS_SECONDS = 0.5


def train(attempt: TrainingRequest, asked_to_stop: Callable[[], int]) -> None:
    """Trains from the newest checkpoint to the end, or to the step at which a signal asks any rank to stop."""
    start = find_start(attempt)
    run = TrainingLoop(attempt, start)
    for step in range(start.step, attempt.training.steps):
        if number := run.agree(asked_to_stop()):
            run.save(step)
            run.leave(Outcome(finished=False, step=step, signal=signal.Signals(number).name))
            return
        run.record(run.measured(step))
        if (step + 1) % attempt.training.checkpoint_every_steps == 0:
            run.save(step + 1)
    run.save(attempt.training.steps)
    run.export()
    run.leave(Outcome(finished=True, step=attempt.training.steps, signal=None))


class TrainingLoop:
    """One rank of a training run: the engine, the data, and the losses so far (rank 0 writes for all)."""

    def __init__(self, attempt: TrainingRequest, start: Start = BEGINNING) -> None:
        """Builds everything, and loads the checkpoint to start from."""
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
            network = build_model(training, attempt.model, config, attempt.kernels)
            self.engine = build_engine(network, training, self.plan, attempt.kernels)
        eos = self.shards.index.tokenizer_fingerprint.eos
        assert eos is not None, "`pack` ends every document with it"
        self.objective = Objective(training, eos, config)
        texts = [source.text for source in self.shards.index.sources]
        self.watch = StepMetrics(attempt, config, texts, self.rank, self.processes)
        self.lines: list[Line] = []
        self.saver = Saver(attempt, self.engine, LossProbe(self.engine, self.shards.sample(0)))
        self.heldout = Heldout(attempt, self.engine, self.shards)
        self.printed = 0.0
        if start.checkpoint:
            self.lines = self.saver.load(start.checkpoint)
        self.text = TextCount(attempt.scratch, device(), self.lines)
        self.losses = LossWatch(training.global_batch_size, training.skip_batches)
        for line in self.lines:
            self.losses.see(line["loss"])
        self.metrics = MetricsFile(attempt.metrics) if self.rank == 0 else None
        if self.metrics:
            for line in self.lines:  # a retry in another place finds an empty file
                self.metrics.add(line)

    def agree(self, number: int) -> int:
        """The highest signal number that any rank heard (0: none): all ranks stop at the same step."""
        heard = torch.tensor(number, device=device())
        dist.all_reduce(heard, op=dist.ReduceOp.MAX)
        return int(heard)

    def measured(self, step: int) -> Line:
        """`update`, with what held-out text says before the first one and where a checkpoint follows."""
        before = self.heldout.before(step)
        return self.update(step) | before | self.heldout.after(step)

    def update(self, step: int) -> Line:
        """Update number `step` of the weights, with the global batch whose turn it is; returns its line of metrics."""
        started, batch = time.perf_counter(), batch_at(step, self.training.skip_batches)
        rate = self.schedule.at(step)
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        dealt = self.plan.samples(batch, self.rank)
        batches = [self.tokens(samples) for samples in dealt]
        waited = time.perf_counter() - started
        mean_targets, sums = self.objective.mean_targets(batches), torch.zeros((), device=device())
        tally = self.watch.tally(device())
        for samples, tokens in zip(dealt, batches, strict=True):
            total, facts, by_sample = losses_of(self.engine, tokens, self.objective, mean_targets)
            self.engine.backward(total)
            self.engine.step()
            sums = sums + facts
            tally += by_source(by_sample, [self.shards.place(number).source for number in samples], len(tally))
        everything = torch.cat([self.text.share(batches), sums, self.watch.vector(tally, waited)])
        dist.all_reduce(everything)
        step_bytes, everything = int(everything[0]), everything[1:]
        curves = self.objective.curves(everything[: len(sums)] / (self.plan.accumulation * self.processes))
        watched = everything[len(sums) :].tolist()
        seconds = time.perf_counter() - started
        tokens_in_batch = self.training.global_batch_size * self.training.sequence_length
        return {
            "step": step, "batch": batch, "time": time.time_ns() // 1_000_000, **curves, "learning_rate": rate,
            "gradient_norm": float(self.engine.get_global_grad_norm()), "tokens": (step + 1) * tokens_in_batch,
            "tokens_per_second": round(tokens_in_batch / seconds, 1), "step_seconds": round(seconds, 6),
            **self.text.facts(step_bytes), **self.watch.facts(watched, seconds),
        }  # fmt: skip

    def tokens(self, samples: range) -> torch.Tensor:
        """One micro-batch, (samples, sequence + 1) token ids."""
        return torch.from_numpy(np.stack([self.shards.sample(number) for number in samples])).to(device())

    def record(self, line: Line) -> None:
        """Keeps and writes the step's line. Raises `WorkerFailed` where the loss is no number any more."""
        if not isfinite(line["loss"] + line["gradient_norm"]):
            raise WorkerFailed(
                f"step {line['step']:,}: loss {line['loss']}, gradient norm {line['gradient_norm']}. Training diverged; "
                "lower learning_rate or gradient_clipping, or lengthen warmup_steps."
            )
        spike = self.losses.judge(line)
        self.lines.append(line)
        if self.metrics is None:
            return
        if spike:
            say(spike)
        if warning := self.metrics.add(line):
            say(warning)
        done, total = line["step"] + 1, self.training.steps
        if done == total or time.monotonic() - self.printed > PROGRESS_SECONDS:
            self.printed = time.monotonic()
            text = f"loss {line['loss']:.3f}, {line['tokens_per_second']:,.0f} tokens/s"
            print_progress(done, total, text)

    def save(self, step: int) -> None:
        """Writes the checkpoint after `step` updates, unless it is there already."""
        self.saver.save(step, self.lines)

    def export(self) -> None:
        """Writes the model folder, and the losses of every step in it; it appears when it is whole.

        The whole metrics go beside it: a run that takes this training over has none of its own.
        """
        partial = self.attempt.output.with_name(f".{self.attempt.output.name}.partial")
        export(self.engine, self.training, partial)
        if self.rank == 0:
            write_lines(partial / "losses.jsonl", map(deterministic, self.lines))
            write_lines(self.attempt.scratch / "metrics.jsonl", self.lines)
            shutil.rmtree(self.attempt.output, ignore_errors=True)
            partial.rename(self.attempt.output)

    def leave(self, outcome: Outcome) -> None:
        """States how the attempt ended, once its last checkpoint is whole."""
        self.saver.wait()
        if self.rank == 0:
            write_text(self.attempt.scratch / "outcome.json", outcome.model_dump_json())
