"""The fields that say how weights are trained, as a trainer's ranks need them; a new schedule is added to `Schedule`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from components.base.fields import Fields
from components.base.model_summary import ModelShape
from components.train.schedules.cosine import CosineSchedule
from components.train.schedules.wsd import WarmupStableDecaySchedule

Schedule = Annotated[CosineSchedule | WarmupStableDecaySchedule, Field(discriminator="kind")]
"""The learning-rate schedules to choose from."""


class Architecture(Fields):
    """The shape of a Mistral, or of a Mixtral if it has experts; the vocabulary is the tokenizer's."""

    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    key_value_heads: int = Field(gt=0)
    rope_theta: float = Field(gt=0)
    sliding_window: int | None
    tie_word_embeddings: bool
    experts: int | None = Field(gt=1)
    experts_per_token: int | None = Field(gt=0)

    @model_validator(mode="after")
    def _fits(self) -> "Architecture":
        if self.hidden_size % self.heads or self.heads % self.key_value_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}, "
                f"and heads of key_value_heads {self.key_value_heads}"
            )
        if (self.experts is None) != (self.experts_per_token is None):
            raise ValueError("experts and experts_per_token are both numbers (Mixtral) or both null (Mistral)")
        return self

    @property
    def shape(self) -> ModelShape:
        """Its sizes, as a model's `config.json` gives them."""
        sizes = self.model_dump(exclude={"rope_theta"})
        return ModelShape(head_dimension=self.hidden_size // self.heads, **sizes)


class CheckpointRetention(Fields):
    """Which checkpoints are kept; the others are removed when a newer one is whole."""

    last: int = Field(gt=0)
    """How many of the newest checkpoints are kept."""
    every_steps: int | None = Field(gt=0)
    """Besides, every checkpoint whose number of steps this divides is kept forever; null: none."""
    best: bool
    """Besides, whether to keep the one with the lowest bits per byte, on average over `pack.heldout_characters`' languages."""


class TrainingParameters(Fields):
    """How the weights are trained: all fields of the trainer that its worker needs."""

    architecture: Architecture | None
    """The shape of a model with random weights; null: the model folder gives shape and weights."""
    maximum_positions: int = Field(gt=0)
    sequence_length: int = Field(gt=0)
    attention: Literal["across_documents", "within_documents"]
    """Whether a sample's documents see each other, as Swallow's did (Megatron packing, no reset), or each document starts at
    position 0 and sees only itself."""
    loss_after_eos: bool
    """Whether the target after an EOS, which is the next document's first token, counts in the loss, as Swallow's did."""
    z_loss: float | None = Field(gt=0)
    """The coefficient of the mean of logsumexp(logits)², which keeps logits from drifting (PaLM used 1e-4); null: none."""
    global_batch_size: int = Field(gt=0)
    steps: int = Field(gt=0)
    skip_batches: tuple[tuple[int, int], ...]
    """Ranges of global batches, first and last, that are not trained on: training takes the next ones instead."""
    learning_rate: float = Field(gt=0)
    minimum_learning_rate: float = Field(ge=0)
    warmup_steps: int = Field(ge=0)
    schedule: Schedule
    """How the learning rate falls from `learning_rate` to `minimum_learning_rate` after a linear warm-up from the latter."""
    adam_betas: tuple[float, float]
    adam_epsilon: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    decay: Literal["all", "matrices"]
    """What weight decay applies to: every parameter, as in Swallow's training, or the matrices (not the norms)."""
    gradient_clipping: float = Field(gt=0)
    precision: Literal["bf16", "pure_bf16", "fp32"]
    """bf16 keeps fp32 master weights and moments, and sums gradients in fp32; pure_bf16 has nothing in fp32, as
    Swallow-MS was trained."""
    zero_stage: Literal[1, 2, 3]
    activation_checkpointing: bool
    router_auxiliary_loss: float | None = Field(gt=0)
    """The coefficient of Mixtral's load-balancing loss; null: none."""
    checkpoint_every_steps: int = Field(gt=0)
    keep_checkpoints: CheckpointRetention
    seed: int = Field(ge=0)

    @field_validator("skip_batches")
    @classmethod
    def _in_order(cls, ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """There is one way to write a set of batches, so that the same training has the same parameters."""
        after = 0
        for first, last in ranges:
            if not after <= first <= last:
                raise ValueError(
                    f"[{first}, {last}] must be the first and last number of global batches (from 0), and leave a batch "
                    "between it and the range before; write neighbours as one range"
                )
            after = last + 2
        return ranges

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of update number `step` (from 0)."""
        return self.schedule.learning_rate(step, self)
