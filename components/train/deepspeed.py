"""Trains a model with DeepSpeed on token shards, in as many processes as the site has.

This module checks the inputs and starts the ranks; `components.train.loop.worker` computes. If the training is interrupted at
any moment, the same call resumes from the newest checkpoint and ends with the same bytes.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator

from components.base.model_summary import ModelSummary
from components.base.planning import Plannable, Rows, WarmStartable
from components.base.ports import Context, Journal, Launcher
from components.base.site import Site
from components.data.batches import BatchPlan
from components.errors import InputError
from components.formats.digests import digest_file
from components.formats.files import link_files
from components.models.folder import check_rows, copy_tokenizer, read_config, tensor_shapes
from components.ranks.run import run_ranks
from components.tokenizers.fingerprint import compare, write_tokenizer_fingerprint
from components.tokenizers.load import tokenizer_file
from components.tokenizers.special_tokens import document_tokenizer, folder_tokenizer_fingerprint
from components.train.checkpoint import store
from components.train.checkpoint.warm_start import read_warm_start, warm_start
from components.train.contract import Trainer, TrainReport
from components.train.environment import ENVIRONMENT
from components.train.export_check import check_export
from components.train.metrics import HELDOUT, HELDOUT_BEFORE, MetricsFile, read_lines
from components.train.parameters import TrainingParameters
from components.train.request import Kernels, TrainingRequest

if TYPE_CHECKING:
    from components.data.token_shards import TokenIndex


class DeepSpeedTrainer(TrainingParameters, Trainer, Plannable, WarmStartable):
    """Trains with AdamW and ZeRO; see `TrainingParameters` for what each field means."""

    kind: Literal["deepspeed"]
    version: Literal[4]
    rank_variables: ClassVar[Mapping[str, str]] = ENVIRONMENT
    warm_start_fields: ClassVar[frozenset[str]] = frozenset({"skip_batches"})

    @model_validator(mode="after")
    def _fits(self) -> "DeepSpeedTrainer":
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps:,} must be fewer than steps {self.steps:,}")
        if words := self.schedule.objection(self.steps - self.warmup_steps):
            raise ValueError(words)
        if self.minimum_learning_rate > self.learning_rate:
            raise ValueError(
                f"minimum_learning_rate {self.minimum_learning_rate} exceeds learning_rate {self.learning_rate}"
            )
        if self.architecture and self.router_auxiliary_loss is not None and self.architecture.experts is None:
            raise ValueError("router_auxiliary_loss is set, but architecture.experts is null; set it to null as well")
        if not all(0 <= beta < 1 for beta in self.adam_betas):
            raise ValueError(f"adam_betas {list(self.adam_betas)} must be two numbers from 0 to below 1, such as [0.9, 0.95]")
        if self.sequence_length > self.maximum_positions:
            raise ValueError(
                f"sequence_length {self.sequence_length:,} exceeds maximum_positions {self.maximum_positions:,}"
            )
        return self

    @property
    def training(self) -> TrainingParameters:
        """The fields that the worker needs."""
        return TrainingParameters(**{name: getattr(self, name) for name in TrainingParameters.model_fields})

    def model_summary(self, before: ModelSummary) -> ModelSummary:
        """The model summary with the architecture's shape, if one is given."""
        return before if self.architecture is None else replace(before, shape=self.architecture.shape)

    def forecast(self, before: ModelSummary, site: Site) -> Rows:
        """Parameters, tokens, memory, work and disk."""
        from components.train.planning.forecast import forecast

        return forecast(self, self.model_summary(before), site)

    def hours(self, before: ModelSummary, site: Site) -> float | None:
        """Hours at the assumed share of the accelerator's peak; None if the site names no accelerator."""
        from components.train.planning.forecast import training_hours

        return training_hours(self, self.model_summary(before), site)

    def profile(self, before: ModelSummary, site: Site, launcher: Launcher, folder: Path) -> Rows:
        """Makes a few steps in the site's number of processes, on this machine."""
        from components.train.planning.forecast import profile_rows
        from components.train.planning.profile import profile

        return profile_rows(self, profile(self, self.model_summary(before), site, launcher, folder))

    def run(self, context: Context, model: Path, tokens: Path, output: Path) -> TrainReport:
        """Raises `WorkerFailed` if a signal stopped the training (the same call resumes it) or a process died."""
        index = self._check_inputs(context.journal, model, tokens)
        plan = BatchPlan(self.global_batch_size, context.site.train_micro_batch_size, context.site.train_processes)
        plan.check(context.site.name)
        output.mkdir(parents=True, exist_ok=True)
        copy_tokenizer(model, output)
        if not (output / "tokenizer.json").exists():
            from components.tokenizers.conversion import write_fast_tokenizer

            write_fast_tokenizer(output, maximum_length=self.maximum_positions)
        write_tokenizer_fingerprint(output, index.tokenizer_fingerprint)
        trained = self._train(context, model, tokens)
        complete_curve(context.journal.metrics, context.scratch / "metrics.jsonl")
        link_files(trained, output)
        check_export(output, model, self.training, index.tokenizer_fingerprint.pieces)
        losses = read_lines(output / "losses.jsonl")
        return TrainReport(
            parameters=sum(prod(shape) for shape in tensor_shapes(output).values()),
            steps=self.steps,
            tokens=self.steps * self.global_batch_size * self.sequence_length,
            first_loss=losses[0]["loss"],
            last_loss=losses[-1]["loss"],
            first_bits_per_byte=losses[0].get(HELDOUT_BEFORE, {}),
            last_bits_per_byte=losses[-1].get(HELDOUT, {}),
            warm_start=read_warm_start(context.scratch),
        )

    def _check_inputs(self, journal: Journal, model: Path, tokens: Path) -> "TokenIndex":
        """The tokens' index. Raises `TokenizerMismatch` or `InputError` before any process is started."""
        from components.data.token_shards import check_special_tokens, read_index

        index = read_index(tokens)
        check_tokenizer(tokens, index, model, journal)
        check_special_tokens(tokens, index)
        if self.architecture is None:
            check_rows(model, index.tokenizer_fingerprint.pieces)
            if self.router_auxiliary_loss is not None and not read_config(model).get("num_local_experts"):
                raise InputError(
                    f"router_auxiliary_loss is {self.router_auxiliary_loss}, but {model} has no experts. Set it to null."
                )
        if index.sequence_length != self.sequence_length:
            raise InputError(
                f"{tokens} was packed for a sequence_length of {index.sequence_length:,}, but training asks for "
                f"{self.sequence_length:,}. Give pack and train the same sequence_length."
            )
        return index

    def _train(self, context: Context, model: Path, tokens: Path) -> Path:
        """Runs the ranks, unless they have finished already; returns the model folder that they wrote."""
        from components.tokenizers.piece_bytes import piece_bytes, write_piece_bytes

        request = self._request(context, model, tokens)
        if not request.is_done():
            store.refuse_foreign_in(context.scratch / "checkpoints", context.fingerprint)
            if not request.path.exists():
                context.journal.metrics.unlink(missing_ok=True)  # these lines are of another computation
            warm_start(request, context.warm_start_candidates, context.journal.say)
            write_piece_bytes(context.scratch, piece_bytes(model))
            run_ranks(request, context, context.site.train_processes)
        return request.output

    def _request(self, context: Context, model: Path, tokens: Path) -> TrainingRequest:
        """The request that the ranks read."""
        return TrainingRequest(
            training=self.training,
            model=model.absolute(),
            tokens=tokens.absolute(),
            output=context.scratch.absolute() / "model",
            scratch=context.scratch.absolute(),
            metrics=context.journal.metrics.absolute(),
            fingerprint=context.fingerprint,
            micro_batch_size=context.site.train_micro_batch_size,
            workers=context.site.workers,
            accelerator_tflops=context.site.accelerator_tflops,
            kernels=Kernels(**{name: getattr(context.site, name) for name in Kernels.model_fields}),
            asynchronous_checkpoints=context.site.asynchronous_checkpoints,
        )


def check_tokenizer(tokens: Path, index: "TokenIndex", model: Path, journal: Journal) -> None:
    """Raises `TokenizerMismatch` unless the model's tokenizer does what the tokenizer did that packed the tokens."""
    file = tokenizer_file(model)
    compare(
        index.tokenizer_fingerprint, folder_tokenizer_fingerprint(model), made=f"the tokens in {tokens}", where=str(file),
        tokenizer=document_tokenizer(model),
        remedy="Run the pack stage again with this tokenizer, or train the model that the tokens were packed for.",
    )
    if digest_file(file) != index.tokenizer:
        journal.say(f"{file} has other bytes than at packing, but does the same with every piece and every golden string")


def complete_curve(curve: Path, every_step: Path) -> None:
    """Adds the steps that are missing in this run's journal: two runs may share one training, and the ranks write into one."""
    if every_step.exists():
        file = MetricsFile(curve)
        for line in read_lines(every_step):
            file.add(line)
