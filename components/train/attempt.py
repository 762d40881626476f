"""What the trainer hands to its worker processes, and what they leave for it: two small files in the scratch folder."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from components.base import Fields


class Architecture(Fields):
    """The shape of a Mistral, or of a Mixtral where it has experts; the vocabulary is the tokenizer's."""

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


class Training(Fields):
    """How the weights are trained: everything of the trainer's fields that its worker needs."""

    architecture: Architecture | None
    """None: the weights come from the model folder."""
    maximum_positions: int = Field(gt=0)
    sequence_length: int = Field(gt=0)
    global_batch_size: int = Field(gt=0)
    steps: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    minimum_learning_rate: float = Field(ge=0)
    warmup_steps: int = Field(ge=0)
    adam_betas: tuple[float, float]
    adam_epsilon: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    decay: Literal["all", "matrices"]
    """What weight decay pulls at: every parameter, as Swallow did, or the matrices (not the norms)."""
    gradient_clipping: float = Field(gt=0)
    precision: Literal["bf16", "fp32"]
    """bf16 keeps fp32 master weights and adds gradients up in fp32."""
    zero_stage: Literal[1, 2, 3]
    activation_checkpointing: bool
    router_auxiliary_loss: float | None
    """The coefficient of Mixtral's load-balancing loss."""
    checkpoint_every_steps: int = Field(gt=0)
    keep_checkpoints: int = Field(gt=0)
    seed: int = Field(ge=0)


class Attempt(Fields):
    """One attempt at a training run, as `attempt.json`."""

    training: Training
    model: Path
    tokens: Path
    output: Path
    scratch: Path
    metrics: Path
    fingerprint: str
    micro_batch_size: int
    checkpoint: Path | None
    """Where training goes on from; None: from the start."""
    step: int


class Outcome(Fields):
    """How an attempt ended, as `outcome.json`; absent where the worker died."""

    finished: bool
    step: int
    """Updates made so far."""
    signal: str | None
    """The signal that stopped it."""
