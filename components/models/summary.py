"""A model's shape in, its parameters out: counted, before there is a weight. Mistral, Mixtral, and Llama alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.models.folder import read_config


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a decoder with grouped-query attention and a gated feed-forward layer, of one expert or several."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    key_value_heads: int
    head_dimension: int
    sliding_window: int | None
    tie_word_embeddings: bool
    experts: int | None
    experts_per_token: int | None

    @property
    def attention_parameters(self) -> int:
        """Of one layer: queries, keys, values, output."""
        return 2 * self.hidden_size * self.head_dimension * (self.heads + self.key_value_heads)

    @property
    def expert_parameters(self) -> int:
        """Of one layer's one expert: gate, up, down."""
        return 3 * self.hidden_size * self.intermediate_size

    @property
    def router_parameters(self) -> int:
        """Of one layer; 0 without experts."""
        return self.hidden_size * (self.experts or 0)

    def layer_parameters(self, experts: int) -> int:
        """Of one layer with so many experts, its two norms included."""
        return self.attention_parameters + experts * self.expert_parameters + self.router_parameters + 2 * self.hidden_size


@dataclass(frozen=True)
class ModelSummary:
    """What is known of a model before it is there."""

    vocabulary: int | None
    """Rows of the embedding and of the head."""
    shape: ModelShape | None

    def parameters(self) -> int | None:
        """Every weight; None where something is not known."""
        return self._count(self.shape.experts or 1) if self.shape else None

    def active_parameters(self) -> int | None:
        """The weights that one token goes through: of the experts, those that it is sent to."""
        return self._count(self.shape.experts_per_token or 1) if self.shape else None

    def _count(self, experts: int) -> int | None:
        if self.shape is None or self.vocabulary is None:
            return None
        matrices = 1 if self.shape.tie_word_embeddings else 2
        around = matrices * self.vocabulary * self.shape.hidden_size + self.shape.hidden_size  # and the last norm
        return around + self.shape.layers * self.shape.layer_parameters(experts)


UNKNOWN_MODEL = ModelSummary(None, None)
"""Of a model of which nothing is known yet."""


def shape_of(config: Mapping[str, Any]) -> ModelShape | None:
    """The shape that a `config.json` states; None where it is of another family."""
    if config.get("model_type") not in ("mistral", "mixtral", "llama"):
        return None
    heads = int(config["num_attention_heads"])
    experts = config.get("num_local_experts") if config["model_type"] == "mixtral" else None
    return ModelShape(
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        key_value_heads=config.get("num_key_value_heads") or heads,
        head_dimension=config.get("head_dim") or config["hidden_size"] // heads,
        sliding_window=config.get("sliding_window"),
        tie_word_embeddings=bool(config.get("tie_word_embeddings", False)),
        experts=experts,
        experts_per_token=config["num_experts_per_tok"] if experts else None,
    )


def read_model_summary(folder: Path) -> ModelSummary | None:
    """What a model folder's `config.json` states; None where there is none."""
    if not (folder / "config.json").exists():
        return None
    config = read_config(folder)
    return ModelSummary(vocabulary=config.get("vocab_size"), shape=shape_of(config))
