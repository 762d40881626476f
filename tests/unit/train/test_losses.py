"""What is minimised, on a plain transformers model: targets, masks, penalties and the experts' load, each written out."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.errors import InputError
from components.train.loop.kernels import check_kernels
from components.train.parameters import TrainingParameters
from components.train.request import Kernels
from tests.support.builders.tiny_training import trainer

EOS, BOS, LENGTH = 2, 1, 24
SETTINGS = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "sliding_window": None, "initializer_range": 0.3, "max_position_embeddings": 64,
}  # fmt: skip


def training(**changes: Any) -> TrainingParameters:
    return trainer(precision="fp32", **changes).training


def build(attention: str = "sdpa", experts: int | None = None, **changes: Any) -> Any:
    """A Mistral, or a Mixtral, with weights large enough that an error shows."""
    import torch
    from transformers import AutoModelForCausalLM, MistralConfig, MixtralConfig

    shape: dict[str, Any] = SETTINGS | changes
    config = MixtralConfig(**shape, num_local_experts=experts) if experts else MistralConfig(**shape)
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention)


def packed(*lengths: int) -> Any:
    """One sample of documents of these lengths, (1, sum): BOS, words, EOS; the last may be cut."""
    import torch

    generator = torch.Generator().manual_seed(sum(lengths))
    documents = [torch.randint(3, 64, (length,), generator=generator) for length in lengths]
    for document in documents:
        document[0], document[-1] = BOS, EOS
    return torch.cat(documents)[None]


def losses(model: Any, tokens: Any, fields: TrainingParameters) -> tuple[Any, dict[str, float]]:
    """What is minimised, and the curves of this one micro-batch."""
    from components.train.loop.losses import Objective, losses_of

    objective = Objective(fields, EOS, model.config)
    counted = (objective.targets(tokens) != -100).sum().item()
    total, facts, _ = losses_of(model, tokens, objective, counted)
    return total, objective.curves(facts)


def by_hand(logits: Any, tokens: Any, *, after_eos: bool = True) -> float:
    """The mean over positions t of −log softmax(logits of t)[token t + 1]."""
    terms = []
    for scores, row in zip(logits.detach().double(), tokens, strict=True):
        for place in range(len(row) - 1):
            if after_eos or row[place] != EOS:
                shifted = scores[place] - scores[place].max()
                terms.append(float(shifted.exp().sum().log() - shifted[row[place + 1]]))
    return sum(terms) / len(terms)


def test_the_loss_is_a_hand_written_cross_entropy_of_labels_shifted_once_not_twice() -> None:
    """Regression: in llm-recipes, the data set and the model both shifted (ba72f5d)."""
    import torch

    model, tokens = build(), torch.cat([packed(9, 16), packed(20, 5)])
    logits = model(input_ids=tokens[:, :-1]).logits
    total, curves = losses(model, tokens, training())
    assert total.item() == curves["loss"] == pytest.approx(by_hand(logits, tokens), rel=1e-6)
    shifted_twice = model(input_ids=tokens[:, :-1], labels=tokens[:, 1:]).loss.item()
    assert abs(shifted_twice - total.item()) > 0.01


def test_a_sample_of_sequence_length_plus_one_tokens_has_exactly_sequence_length_targets() -> None:
    """Regression: llm-recipes gave all 4,097 tokens as inputs and as labels; its fix left 4,095 targets (13276b6)."""
    from components.train.loop.losses import Objective

    tokens, objective = packed(9, 16), Objective(training(), EOS, build().config)
    inputs = objective.inputs(tokens)
    assert inputs.keys() == {"input_ids"}  # labels would be shifted once more
    assert inputs["input_ids"].shape == objective.targets(tokens).shape == (1, LENGTH)
    assert objective.mean_targets([tokens, tokens]) == LENGTH


def test_the_first_token_of_a_next_document_is_no_target_where_loss_after_eos_is_off() -> None:
    model, tokens = build(), packed(7, 3, 15)
    total, _ = losses(model, tokens, training(loss_after_eos=False))
    logits = model(input_ids=tokens[:, :-1]).logits
    assert total.item() == pytest.approx(by_hand(logits, tokens, after_eos=False), rel=1e-6)
    assert abs(total.item() - by_hand(logits, tokens)) > 1e-3


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("window", [None, 4])
def test_documents_do_not_influence_each_other_where_attention_is_within_documents(
    attention: str, window: int | None
) -> None:
    """Nor do their places: a document's logits are those that it has alone. To fp32's rounding."""
    import torch

    from components.train.loop.losses import Objective

    model = build(attention, sliding_window=window)
    inside, across = (Objective(training(attention=f"{word}_documents"), EOS, model.config) for word in ("within", "across"))

    def logits(objective: Objective, some: Any) -> Any:
        # with a cache, transformers would take no mask from the places
        return model(**objective.inputs(some), use_cache=False).logits[0]

    tokens = packed(6, 1, 11, 7)
    changed = tokens.clone()
    changed[0, 2] = 5 if tokens[0, 2] != 5 else 6
    with torch.no_grad():
        before, after = (logits(inside, some) for some in (tokens, changed))
        assert not torch.equal(before[2:6], after[2:6])
        assert torch.equal(before[6:], after[6:])
        alone = model(input_ids=tokens[:, 7:18]).logits[0]
        assert (before[7:18] - alone).abs().max() < 1e-4
        before, after = (logits(across, some) for some in (tokens, changed))
        assert (before[6] - after[6]).abs().max() > 1e-3


def test_places_begin_anew_after_each_eos_and_at_a_samples_start() -> None:
    import torch

    from components.train.loop.losses import positions

    tokens = torch.tensor([[8, 9, EOS, BOS, 9, EOS, EOS, BOS], [BOS, 8, 8, 8, 8, 8, 8, EOS]])
    assert positions(tokens, EOS).tolist() == [[0, 1, 2, 0, 1, 2, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7]]


def test_the_z_loss_adds_its_coefficient_times_the_mean_of_the_squared_logsumexp() -> None:
    import torch

    model, tokens = build(), packed(9, 16)
    total, curves = losses(model, tokens, training(z_loss=0.01, loss_after_eos=False))
    sums = model(input_ids=tokens[:, :-1]).logits[0].double().exp().sum(-1).log()
    expected = sums[tokens[0, :-1] != EOS].square().mean()
    assert curves["z_loss"] == pytest.approx(expected.item(), rel=1e-6)
    assert total.item() == pytest.approx(curves["loss"] + 0.01 * expected.item(), rel=1e-6)
    plain, _ = losses(model, tokens, training(loss_after_eos=False))
    head = model.lm_head.weight
    with_penalty, without = (torch.autograd.grad(loss, head, retain_graph=True)[0] for loss in (total, plain))
    penalty = torch.autograd.grad(0.01 * expected.float(), head)[0]
    assert (with_penalty - without - penalty).abs().max() < 1e-6


def gradients(model: Any, tokens: Any, fields: TrainingParameters) -> dict[str, Any]:
    """Of what is minimised, by name."""
    model.zero_grad()
    losses(model, tokens, fields)[0].backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def test_the_routers_loss_is_switch_transformers_and_changes_the_gradient_though_the_configuration_has_it_off() -> None:
    """Regression: without `output_router_logits` transformers leaves it out in silence (moe-recipes d37266e)."""
    import torch

    model, tokens = build(experts=4), packed(9, 16)
    assert model.config.output_router_logits is False
    assert model(input_ids=tokens[:, :-1]).aux_loss is None
    logits = model(input_ids=tokens[:, :-1], output_router_logits=True).router_logits
    shares = torch.cat(logits).softmax(-1)
    chosen = torch.zeros_like(shares).scatter(1, shares.topk(2).indices, 1.0)
    expected = 4 * (chosen.mean(0) * shares.mean(0)).sum()  # equations 4 to 6, over all layers at once
    total, curves = losses(model, tokens, training(router_auxiliary_loss=0.02, architecture=None))
    assert curves["router_loss"] == pytest.approx(expected.item(), rel=1e-6)
    assert total.item() == pytest.approx(curves["loss"] + 0.02 * expected.item(), rel=1e-6)
    asked = gradients(model, tokens, training(router_auxiliary_loss=0.02, architecture=None))
    unasked = gradients(model, tokens, training())
    gate = "model.layers.0.mlp.gate.weight"
    assert (asked[gate] - unasked[gate]).abs().max() > 1e-4


def test_the_experts_load_is_counted_by_layer_and_relative_to_an_even_share() -> None:
    import torch

    from components.train.loop.router import balance_of, expert_load

    first = torch.tensor([[3.0, 2.0, 0.0, 0.0], [3.0, 2.0, 0.0, 0.0]])
    second = torch.tensor([[3.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 3.0]])
    load = expert_load([first, second], 2)
    assert load.tolist() == [[2, 2, 0, 0], [1, 1, 1, 1]]
    assert balance_of(load) == {
        "router_entropy": pytest.approx((math.log(2) / math.log(4) + 1) / 2), "expert_load_max": 2.0, "expert_load_min": 0.0,
        "expert_load/0": 1.5, "expert_load/1": 1.5, "expert_load/2": 0.5, "expert_load/3": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("experts", [None, 4])
def test_checkpointed_activations_are_computed_twice_and_give_the_same_gradients(experts: int | None) -> None:
    """The router's logits, which are taken from within the layers, included."""
    import torch

    fields = training(router_auxiliary_loss=0.02, architecture=None) if experts else training()
    model, tokens = build(experts=experts).train(), packed(9, 16)
    kept = gradients(model, tokens, fields)
    model.activation_checkpointing_enable({"use_reentrant": False})
    calls: list[int] = []
    model.model.layers[1].self_attn.register_forward_hook(lambda *_: calls.append(1))
    recomputed = gradients(model, tokens, fields)
    assert len(calls) == 2
    assert all(torch.equal(recomputed[name], kept[name]) for name in kept)


def test_eager_attention_gives_sdpas_loss_and_gradients_to_rounding() -> None:
    tokens = packed(9, 16)
    for fields in (training(), training(attention="within_documents")):
        one, other = (gradients(build(kind), tokens, fields) for kind in ("sdpa", "eager"))
        assert all((one[name] - other[name]).abs().max() < 1e-5 for name in one)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention_implementation": "flash_attention_2"}, "attention_implementation: flash_attention_2.*a CUDA device"),
        ({"fused_kernels": True}, "fused_kernels: true.*a CUDA device, and there is none. Set it to false"),
        ({"compile": True}, "compile: true.*C\\+\\+ compiler, and there is no no-such-compiler"),
    ],
)
def test_a_site_that_asks_for_what_the_machine_lacks_is_refused(
    changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Kernels(attention_implementation="sdpa", compile=False, fused_kernels=False)
    check_kernels(plain, cuda=False)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=words):
        check_kernels(plain.model_copy(update=changes), cuda=False)


def test_a_longer_base_is_trained_and_exported_with_the_positions_of_the_training(tmp_path: Path) -> None:
    """Regression: llm-recipes' conversion kept the base's max_position_embeddings (a4f1e41)."""
    from components.train.loop.model import build_config

    build().config.save_pretrained(tmp_path)
    index: Any = SimpleNamespace()
    config = build_config(training(architecture=None, maximum_positions=48), tmp_path, index)
    assert config.max_position_embeddings == 48
