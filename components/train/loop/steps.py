"""The training loop of one rank: it makes the updates and writes metrics, checkpoints and, in the end, the model folder."""

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
from components.ranks.outcome import Outcome
from components.ranks.progress import ProgressPrinter
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
from components.train.process_group import device
from components.train.request import TrainingRequest


def train(request: TrainingRequest, asked_to_stop: Callable[[], int]) -> Outcome | None:
    """Trains from the newest checkpoint to the end, or to the step at which a signal asks any rank to stop.

    When the last checkpoint is whole, rank 0 returns how the training ended; the others return None.
    """
    start = find_start(request)
    run = TrainingLoop(request, start)
    for step in range(start.step, request.training.steps):
        if number := run.agree(asked_to_stop()):
            run.save(step)
            return run.leave(Outcome(finished=False, signal=signal.Signals(number).name, done=step))
        run.record(run.measured(step))
        if (step + 1) % request.training.checkpoint_every_steps == 0:
            run.save(step + 1)
    run.save(request.training.steps)
    run.export()
    return run.leave(Outcome(finished=True, signal=None, done=request.training.steps))


class TrainingLoop:
    """One rank of a training: the engine, the data, and the metrics so far (rank 0 writes for all)."""

    def __init__(self, request: TrainingRequest, start: Start = BEGINNING) -> None:
        """Builds everything, and loads the checkpoint to resume from, if any."""
        training = request.training
        self.request, self.training = request, training
        self.rank, self.processes = dist.get_rank(), dist.get_world_size()
        self.plan = BatchPlan(training.global_batch_size, request.micro_batch_size, self.processes)
        self.shards = TokenShards(request.tokens)
        config = build_config(training, request.model, self.shards.index)
        with sharded_construction(training, self.plan):
            network = build_model(training, request.model, config, request.kernels)
            self.engine = build_engine(network, training, self.plan, request.kernels)
        eos = self.shards.index.tokenizer_fingerprint.eos
        assert eos is not None, "`pack` ends every document with it"
        self.objective = Objective(training, eos, config)
        texts = [source.text for source in self.shards.index.sources]
        self.watch = StepMetrics(request, config, texts, self.rank, self.processes)
        self.lines: list[Line] = []
        self.saver = Saver(request, self.engine, LossProbe(self.engine, self.shards.sample(0)))
        self.heldout = Heldout(request, self.engine, self.shards)
        self.printer = ProgressPrinter()
        if start.checkpoint:
            self.lines = self.saver.load(start.checkpoint)
        self.text = TextCount(request.scratch, device(), self.lines)
        self.losses = LossWatch(training.global_batch_size, training.skip_batches)
        for line in self.lines:
            self.losses.see(line["loss"])
        self.metrics = MetricsFile(request.metrics) if self.rank == 0 else None
        if self.metrics:
            for line in self.lines:  # the file may be empty if this attempt runs in another place than the last
                self.metrics.add(line)

    def agree(self, number: int) -> int:
        """The highest signal number that any rank received (0: none), so that all ranks stop at the same step."""
        heard = torch.tensor(number, device=device())
        dist.all_reduce(heard, op=dist.ReduceOp.MAX)
        return int(heard)

    def measured(self, step: int) -> Line:
        """`update`, with bits per byte of held-out text before the first update and before each checkpoint."""
        before = self.heldout.before(step)
        return self.update(step) | before | self.heldout.after(step)

    def update(self, step: int) -> Line:
        """Makes update number `step` with the next global batch that is not skipped; returns its line of metrics."""
        started, batch = time.perf_counter(), batch_at(step, self.training.skip_batches)
        rate = self.training.learning_rate_at(step)
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
        """Keeps and writes the step's line. Raises `WorkerFailed` if the loss or the gradient norm is not finite."""
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
        if done == total or self.printer.due:
            self.printer.print(done, total, f"loss {line['loss']:.3f}, {line['tokens_per_second']:,.0f} tokens/s")

    def save(self, step: int) -> None:
        """Writes the checkpoint after `step` updates, unless it exists already."""
        self.saver.save(step, self.lines)

    def export(self) -> None:
        """Writes the model folder with the losses of every step in it; the folder appears when it is whole.

        All metrics are written next to it: a run that takes over this training has none of its own.
        """
        partial = self.request.output.with_name(f".{self.request.output.name}.partial")
        export(self.engine, self.training, partial)
        if self.rank == 0:
            write_lines(partial / "losses.jsonl", map(deterministic, self.lines))
            write_lines(self.request.scratch / "metrics.jsonl", self.lines)
            shutil.rmtree(self.request.output, ignore_errors=True)
            partial.rename(self.request.output)

    def leave(self, outcome: Outcome) -> Outcome | None:
        """Waits for the last checkpoint to be whole, then returns the outcome on rank 0 and None on the others."""
        self.saver.wait()
        return outcome if self.rank == 0 else None
