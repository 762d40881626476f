"""The formulas behind `martlet plan` against what torch counts, keeps and allocates; and a profile with the real trainer."""

from pathlib import Path
from typing import Any

import pytest

from components.base.model_summary import ModelSummary
from components.models.summary import shape_of
from components.train.flops import forward_flops
from components.train.planning.memory import activation_bytes
from components.train.planning.profile import MOST, WARM_UP, profile
from tests.support.builders.tiny_training import trainer
from tests.support.fakes import SITE
from tests.support.ranks.forked_ranks import ForkedRanks

VOCABULARY, BATCH, LENGTH = 500, 2, 128
MISTRAL = {
    "vocab_size": VOCABULARY, "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "sliding_window": None, "max_position_embeddings": 256,
}  # fmt: skip
MIXTRAL = MISTRAL | {"num_local_experts": 4, "num_experts_per_tok": 2}


def build(fields: dict[str, Any], attention: str = "sdpa", dtype: str = "float32") -> Any:
    """A model of that shape."""
    import torch
    from transformers import AutoModelForCausalLM, MistralConfig, MixtralConfig

    config = (MixtralConfig if "num_local_experts" in fields else MistralConfig)(**fields)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=getattr(torch, dtype))


def outline_of(model: Any) -> ModelSummary:
    return ModelSummary(model.config.vocab_size, shape_of(model.config.to_dict()))


def tokens() -> Any:
    import torch

    torch.manual_seed(1)
    return torch.randint(0, VOCABULARY, (BATCH, LENGTH))


@pytest.mark.quick
@pytest.mark.parametrize("fields", [MISTRAL, MISTRAL | {"head_dim": 32}, MIXTRAL], ids=["Mistral", "wide heads", "Mixtral"])
def test_operations_are_what_torchs_counter_counts_for_a_forward_and_a_backward_pass(fields: dict[str, Any]) -> None:
    """The counter sees the whole square of attention, so the formula is given all keys; and of experts those in use."""
    from torch.utils.flop_counter import FlopCounterMode

    model = build(fields, attention="eager")
    if "num_local_experts" in fields:
        model.set_experts_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        model(input_ids=tokens(), use_cache=False).logits.sum().backward()
    expected = 3 * forward_flops(outline_of(model), keys=LENGTH) * BATCH * LENGTH
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-3)


@pytest.mark.quick
@pytest.mark.parametrize("fields", [MISTRAL, MISTRAL | {"tie_word_embeddings": True}, MIXTRAL])
def test_parameters_are_counted_as_transformers_makes_them(fields: dict[str, Any]) -> None:
    model = build(fields)
    assert outline_of(model).parameters() == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.quick
@pytest.mark.parametrize("fields", [MISTRAL, MIXTRAL], ids=["Mistral", "Mixtral"])
def test_activations_are_what_autograd_keeps_for_the_backward_pass(fields: dict[str, Any], dtype: str) -> None:
    """Within 3 percent: the formula leaves out rotary tables and the router's small ones."""
    import torch

    model = build(fields, dtype=dtype)
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        if (place := tensor.untyped_storage().data_ptr()) not in own:
            kept[place] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.model(input_ids=tokens(), use_cache=False)
    found = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    shape = outline_of(model).shape
    assert shape is not None
    expected = BATCH * LENGTH * activation_bytes(shape, getattr(torch, dtype).itemsize, checkpointing=False)
    assert expected == pytest.approx(found, rel=0.03)


def test_a_rehearsal_runs_the_trainer_for_some_steps_on_a_model_that_is_not_there(tmp_path: Path) -> None:
    component, summary = trainer(global_batch_size=4), ModelSummary(300, None)
    launcher = ForkedRanks(tmp_path / "logs")
    rows = component.profile(summary, SITE, launcher, tmp_path)
    assert [name for name, _ in rows] == ["a step, measured", "all steps, measured", "memory a process, measured"]
    again = profile(component, component.model_summary(summary), SITE, launcher, tmp_path / "again")
    assert [line["step"] for line in again.lines] == list(range(WARM_UP + MOST))
    assert again.step_seconds > 0
