"""Reads a model's summary from the `config.json` of its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.base.model_summary import ModelShape, ModelSummary
from components.models.folder import read_config


def shape_of(config: Mapping[str, Any]) -> ModelShape | None:
    """The shape that a `config.json` states; None if it is of another family."""
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
    """What a model folder's `config.json` states; None if there is none."""
    if not (folder / "config.json").exists():
        return None
    config = read_config(folder)
    return ModelSummary(vocabulary=config.get("vocab_size"), shape=shape_of(config))
