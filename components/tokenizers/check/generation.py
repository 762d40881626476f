"""Calculates how much faster text is generated with fewer tokens, from token counts and the model's config.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.formats.json_text import parse_json
from components.tokenizers.check.facts import Domain, Generation

CONTEXT_TOKENS = 4096


def generation_of(domains: Sequence[Domain], head_cost: float | None) -> list[Generation]:
    """For each Japanese domain: tokens before ÷ after, corrected for the head, and what a context holds."""
    return [
        Generation(
            domain=domain.name, speed_up=round(domain.before.tokens / domain.after.tokens, 4),
            speed_up_with_head=round(domain.before.tokens / domain.after.tokens / head_cost, 4) if head_cost else None,
            context_tokens=CONTEXT_TOKENS,
            context_characters_before=round(CONTEXT_TOKENS * domain.before.characters_per_token),
            context_characters_after=round(CONTEXT_TOKENS * domain.after.characters_per_token),
        )
        for domain in domains if domain.japanese and domain.before and domain.before.tokens and domain.after.tokens
    ]


def cost_of_head(folder: Path, pieces_before: int, pieces_after: int) -> tuple[float | None, str]:
    """Matrix FLOPs per token after ÷ before; or None, and why they are not known.

    A forward pass costs two FLOPs for each active parameter of a matrix: attention's projections, the experts that are
    active (Mixtral) or the one MLP, and the head. Attention scores, which grow with the context, are left out.
    """
    path = folder / "config.json"
    if not path.exists():
        return None, f"{path.name} is not there: the cost of the larger output head is not known."
    try:
        body, width = body_parameters(parse_json(path.read_bytes()))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        return None, f"config.json does not describe a model of the Llama, Mistral or Mixtral layout ({error!r})."
    return round((body + width * pieces_after) / (body + width * pieces_before), 6), ""


def body_parameters(config: dict[str, Any]) -> tuple[int, int]:
    """The active matrix parameters of a token besides the head, and the width of the model."""
    width, inner, heads = int(config["hidden_size"]), int(config["intermediate_size"]), int(config["num_attention_heads"])
    key_value_heads = int(config.get("num_key_value_heads") or heads)
    head_size = int(config.get("head_dim") or width // heads)
    attention = 2 * width * head_size * (heads + key_value_heads)
    experts = int(config.get("num_local_experts") or 0)
    active = int(config["num_experts_per_tok"]) if experts else 1
    return int(config["num_hidden_layers"]) * (attention + 3 * width * inner * active + width * experts), width
