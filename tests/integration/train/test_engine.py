"""DeepSpeed's numbers against plain PyTorch with every formula written out, at 1, 2 and 4 ranks and every ZeRO stage.

All in fp32 unless a test says otherwise. One launch a number of ranks trains all that its tests look at.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from components.data.documents import first_texts, read_documents
from components.data.token_shards import TokenShards
from components.tokenizers.load import load_tokenizer
from components.tokenizers.piece_bytes import piece_bytes, write_piece_bytes
from components.train.deepspeed import DeepSpeedTrainer
from components.train.request import Kernels
from tests.support.builders.tiny_training import ARCHITECTURE, SEQUENCE_LENGTH, context_of, packer, prepare, trainer

SHORT = {"precision": "fp32", "steps": 2, "warmup_steps": 1, "checkpoint_every_steps": 100}
LONG = SHORT | {"steps": 6, "warmup_steps": 2, "weight_decay": 5.0}
MIXTRAL = {"architecture": ARCHITECTURE | {"experts": 4, "experts_per_token": 2}, "router_auxiliary_loss": 0.5}
SMALL_STEPS = {"steps": 8, "learning_rate": 2e-5, "minimum_learning_rate": 1e-5, "weight_decay": 0.0}
MASKED = {"loss_after_eos": False, "attention": "within_documents", "z_loss": 0.01, "skip_batches": [[0, 0]]}


@dataclass(frozen=True)
class Case:
    """One training at one number of ranks."""

    micro_batch_size: int
    changes: Mapping[str, Any]
    processes: int = 1
    folder: str = "inputs"

    @property
    def component(self) -> DeepSpeedTrainer:
        return trainer(**(SHORT | dict(self.changes)))


CASES = {
    "1 × 4": Case(4, LONG | {"zero_stage": 1, "decay": "all"}),
    "4 × 1": Case(1, LONG | {"zero_stage": 1, "decay": "all"}),
    "clipped": Case(1, LONG | {"zero_stage": 2, "gradient_clipping": 0.3}),
    "ZeRO-2": Case(1, {"zero_stage": 2}),
    "ZeRO-3": Case(1, {"zero_stage": 3}),
    "masked": Case(4, MASKED),
    "masked 4 × 1": Case(1, MASKED),
    "Mixtral": Case(1, MIXTRAL | {"zero_stage": 3}),
    "Mixtral, recomputed": Case(1, MIXTRAL | {"zero_stage": 3, "activation_checkpointing": True}),
    "Llama": Case(2, {"zero_stage": 2, "architecture": None}, folder="llama"),
    "skipped": Case(2, LONG | {"zero_stage": 1, "skip_batches": [[1, 2], [5, 5]]}),
    "epsilon": Case(4, {"adam_epsilon": 1e-3}),
    "bf16": Case(4, SMALL_STEPS | {"precision": "bf16", "zero_stage": 1}),
    "pure bf16": Case(4, LONG | {"precision": "pure_bf16", "zero_stage": 1, "gradient_clipping": 1e6, "weight_decay": 0.1}),
    "pure bf16, small steps": Case(4, SMALL_STEPS | {"precision": "pure_bf16", "zero_stage": 3}),
    "2 ranks, ZeRO-1": Case(1, {"zero_stage": 1}, 2),
    "2 ranks, ZeRO-2": Case(1, {"zero_stage": 2}, 2),
    "2 ranks, ZeRO-3": Case(2, {"zero_stage": 3}, 2),
    "2 ranks, ZeRO-3, not measured": Case(2, {"zero_stage": 3}, 2, "unmeasured"),
    "2 ranks, a folder": Case(1, LONG | {"zero_stage": 3, "architecture": None, "activation_checkpointing": True}, 2, "llama"),
    "2 ranks, masked": Case(1, MASKED | {"zero_stage": 2}, 2),
    "2 ranks, Mixtral": Case(1, MIXTRAL | {"zero_stage": 3}, 2),
    "4 ranks, ZeRO-1": Case(1, {"zero_stage": 1}, 4),
    "4 ranks, ZeRO-2": Case(1, {"zero_stage": 2}, 4),
    "4 ranks, ZeRO-3": Case(1, {"zero_stage": 3}, 4),
}


@dataclass
class LossObservation:
    """What an engine computed and is made of."""

    gradients: dict[str, Any]
    weights: dict[str, Any]
    facts: dict[str, Any]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return list(self.facts["lines"])


@dataclass
class Laboratory:
    """Trains the cases, all of one number of ranks in one launch, when the first of them is asked for."""

    root: Path
    launched: set[int] = field(default_factory=set)

    def __getitem__(self, name: str) -> LossObservation:
        from safetensors.torch import load_file

        case, folder = CASES[name], self.root / name
        if case.processes not in self.launched:
            self.launch(case.processes)
        weights = load_file(folder / "scratch/model/model.safetensors")
        facts = json.loads((folder / "scratch/engine.json").read_text())
        return LossObservation(load_file(folder / "scratch/engine.safetensors"), weights, facts)

    def launch(self, processes: int) -> None:
        attempts = []
        for name, case in CASES.items():
            if case.processes == processes:
                context = context_of(self.root / name, processes, case.micro_batch_size)
                inputs = self.root / case.folder
                made = case.component._request(context, inputs / "model", inputs / "tokens")
                write_piece_bytes(context.scratch, piece_bytes(inputs / "model"))
                attempts.append(made.model_dump(mode="json"))
        file = self.root / f"attempts-{processes}.json"
        file.write_text(json.dumps(attempts))
        context.launcher.run("tests.support.ranks.engine_worker", [str(file)], processes=processes, environment={})
        self.launched.add(processes)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    root = tmp_path_factory.mktemp("engines")
    prepare(root / "inputs")
    write_llama(root / "inputs", root / "llama")
    prepare(root / "unmeasured", heldout_characters={})
    return Laboratory(root)


def write_llama(inputs: Path, folder: Path) -> None:
    """The inputs once more, with the weights of a Llama whose embeddings are tied, in fp32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shutil.copytree(inputs, folder)
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=TokenShards(inputs / "tokens").index.tokenizer_fingerprint.pieces, hidden_size=32, intermediate_size=48,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, initializer_range=0.1,
        max_position_embeddings=128,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "model")


KERNELS = Kernels(attention_implementation="eager", compile=False, fused_kernels=False)
"""Of plain PyTorch; the engines take `sdpa`."""
SDPA = {"attention_implementation": "sdpa"}


@dataclass
class Plain:
    """The same training without DeepSpeed, a whole global batch at once, each formula written out."""

    component: DeepSpeedTrainer
    folder: Path
    micro_batch_size: int
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    gradients: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)

    def train(self) -> "Plain":
        import numpy as np
        import torch
        from safetensors.torch import load_file

        from components.train.loop.model import build_config, build_model

        training, shards = self.component.training, TokenShards(self.folder / "tokens")
        self.eos = shards.index.tokenizer_fingerprint.eos
        config = build_config(training, self.folder / "model", shards.index)
        model = build_model(training, self.folder / "model", config, KERNELS)
        state = {name: (torch.zeros_like(weight), torch.zeros_like(weight)) for name, weight in model.named_parameters()}
        left_out = {number for first, last in training.skip_batches for number in range(first, last + 1)}
        numbers = [number for number in range(training.steps + len(left_out)) if number not in left_out]
        for step, number in enumerate(numbers):
            first = number * training.global_batch_size
            batch = np.stack([shards.sample(first + number) for number in range(training.global_batch_size)])
            model.zero_grad()
            loss, penalties = self.loss(model, torch.from_numpy(batch))
            (loss + penalties).backward()
            self.losses.append(loss.item())
            if step == 0:
                self.gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
            self.update(step, model, state)
        with TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            self.weights = load_file(Path(folder) / "model.safetensors")
        return self

    def loss(self, model: Any, batch: Any) -> tuple[Any, Any]:
        """The mean of −log softmax over all counted targets, and what is added to it."""
        import torch

        training, terms, squares, balance = self.component.training, [], [], []
        for tokens in batch.split(self.micro_batch_size):
            logits, routers = self.forward(model, tokens[:, :-1])
            counted = (tokens[:, :-1] != self.eos) | training.loss_after_eos
            picked = torch.log_softmax(logits, dim=-1).gather(-1, tokens[:, 1:, None])[..., 0]
            terms.append(-picked[counted])
            squares.append(logits.exp().sum(-1).log().square()[counted])
            if training.router_auxiliary_loss:
                shares = torch.cat(routers).softmax(-1)
                chosen = torch.zeros_like(shares).scatter(1, shares.topk(2).indices, 1.0)
                balance.append(shares.shape[1] * (chosen.mean(0) * shares.mean(0)).sum())
        penalties = (training.z_loss or 0.0) * torch.cat(squares).mean()
        if balance:
            penalties = penalties + training.router_auxiliary_loss * torch.stack(balance).mean()
        return torch.cat(terms).mean(), penalties

    def forward(self, model: Any, inputs: Any) -> tuple[Any, Any]:
        """Logits of each sample at once, or of each of its documents alone; and the routers' logits."""
        import torch

        training = self.component.training
        if training.attention == "across_documents":
            router = {"output_router_logits": True} if training.router_auxiliary_loss else {}
            output = model(input_ids=inputs, **router)
            return output.logits, getattr(output, "router_logits", None)
        rows = []
        for row in inputs:
            ends = [place + 1 for place, token in enumerate(row.tolist()) if token == self.eos]
            documents = torch.tensor_split(row, [end for end in ends if end < len(row)])
            rows.append(torch.cat([model(input_ids=document[None]).logits[0] for document in documents]))
        return torch.stack(rows), None

    def update(self, step: int, model: Any, state: dict[str, Any]) -> None:
        """Clipping, decay, AdamW."""
        import torch

        training = self.component.training
        rate, (beta1, beta2) = self.component.learning_rate_at(step), training.adam_betas
        norm = torch.sqrt(sum((weight.grad.square().sum() for weight in model.parameters()), torch.zeros(())))
        self.norms.append(norm.item())
        scale = min(1.0, training.gradient_clipping / (norm.item() + 1e-6))
        with torch.no_grad():
            for name, weight in model.named_parameters():
                decays = training.decay == "all" or weight.dim() > 1
                gradient, (mean, square) = weight.grad * scale, state[name]
                mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
                square.mul_(beta2).add_(gradient.square(), alpha=1 - beta2)
                weight.mul_(1 - rate * training.weight_decay * decays)
                bottom = (square / (1 - beta2 ** (step + 1))).sqrt() + training.adam_epsilon
                weight.sub_(rate * (mean / (1 - beta1 ** (step + 1))) / bottom)


def plain(laboratory: Laboratory, name: str) -> Plain:
    case = CASES[name]
    return Plain(case.component, laboratory.root / case.folder, case.micro_batch_size).train()


def furthest(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """The largest difference of any number, relative to the largest number of its tensor."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max() / other[name].abs().max()) for name in one)


EXACT = [name for name, case in CASES.items() if case.component.precision == "fp32"]


@pytest.mark.parametrize("name", EXACT)
def test_losses_norms_gradients_rates_and_weights_equal_plain_pytorchs(name: str, laboratory: Laboratory) -> None:
    """To the rounding of sums in another order. Loss and gradient: not shifted, divided or scaled twice, at any number of
    ranks; the rates: the schedule steps once an update, however many ranks and micro-batches there are."""
    seen, expected = laboratory[name], plain(laboratory, name)
    component = CASES[name].component
    assert [line["loss"] for line in seen.lines] == pytest.approx(expected.losses, rel=2e-6)
    assert [line["gradient_norm"] for line in seen.lines] == pytest.approx(expected.norms, rel=2e-6)
    assert furthest(seen.gradients, expected.gradients) < 3e-6  # 7e-7 when measured
    rates = [component.learning_rate_at(step) for step in range(component.steps)]
    assert seen.facts["rates"] == [line["learning_rate"] for line in seen.lines] == rates
    assert furthest(seen.weights, expected.weights) < 3e-4  # 7e-5: AdamW enlarges what a tiny gradient lacks
    assert seen.facts["epsilon"] == [component.adam_epsilon] * len(seen.facts["epsilon"])
    assert seen.facts["decay"] == [component.weight_decay] + [0.0] * (component.decay == "matrices")


def test_losses_by_source_are_the_means_over_the_sources_targets_at_any_number_of_ranks(laboratory: Laboratory) -> None:
    """Computed by hand for the first step, whose samples 4 to 7 are of both sources (batch 0 is skipped)."""
    import numpy as np
    import torch

    for name in ("masked", "masked 4 × 1", "2 ranks, masked"):
        case = CASES[name]
        shards = TokenShards(laboratory.root / case.folder / "tokens")
        model = plain_model(case, laboratory.root / case.folder)
        losses: dict[str, list[float]] = {}
        for number in range(4, 8):
            tokens = torch.from_numpy(np.stack([shards.sample(number)]))
            by_hand = Plain(trainer(**(dict(SHORT) | dict(case.changes) | {"z_loss": None})), laboratory.root, 1)
            by_hand.eos = shards.index.tokenizer_fingerprint.eos
            counted = int((tokens[:, :-1] != by_hand.eos).sum())
            loss, _ = by_hand.loss(model, tokens)
            losses.setdefault(shards.index.sources[shards.place(number).source].text, []).extend([loss.item()] * counted)
        means = {text: sum(values) / len(values) for text, values in losses.items()}
        first = laboratory[name].lines[0]
        assert first["source_loss"] == pytest.approx(means, rel=2e-6)
        assert len(means) == 2
        assert first["peak_memory_mib"] > 100
        assert first["data_seconds"] > 0
        assert first["data_seconds"] < first["step_seconds"] or case.processes > 1  # the slowest rank's, and rank 0's
        assert first["tflops_per_process"] > 0
        assert "mfu" not in first


def plain_model(case: Case, folder: Path) -> Any:
    from components.train.loop.model import build_config, build_model

    training = case.component.training
    config = build_config(training, folder / "model", TokenShards(folder / "tokens").index)
    return build_model(training, folder / "model", config, KERNELS)


def test_one_two_and_four_ranks_with_zero_1_2_and_3_and_accumulation_1_to_4_have_one_gradient(laboratory: Laboratory) -> None:
    alike = ["1 × 4", "4 × 1", "ZeRO-2", "ZeRO-3"] + [f"{ranks} ranks, ZeRO-{stage}" for ranks in (2, 4) for stage in (1, 2, 3)]
    first = laboratory[alike[0]].gradients
    assert {name: furthest(laboratory[name].gradients, first) for name in alike} == dict.fromkeys(
        alike, pytest.approx(0, abs=3e-6)
    )


def test_targets_are_weighed_alike_where_masks_leave_micro_batches_unequal_numbers_of_them(laboratory: Laboratory) -> None:
    first = laboratory["masked"].gradients
    assert furthest(laboratory["masked 4 × 1"].gradients, first) < 3e-6
    assert furthest(laboratory["2 ranks, masked"].gradients, first) < 3e-6


ALIKE = ["1 × 4", "ZeRO-3", "2 ranks, ZeRO-1", "2 ranks, ZeRO-3", "4 ranks, ZeRO-2", "4 ranks, ZeRO-3"]


@pytest.mark.parametrize("name", [*ALIKE, "masked", "Mixtral", "Llama"])
def test_bits_per_byte_of_heldout_text_are_plain_pytorchs_at_any_number_of_ranks(name: str, laboratory: Laboratory) -> None:
    """Before the first update, document by document; and after the last one the same at any number of ranks."""
    first, last = laboratory[name].lines[0], laboratory[name].lines[-1]
    assert first["heldout_bits_per_byte_before"] == pytest.approx(bits_by_hand(CASES[name], laboratory.root), rel=1e-5)
    assert last["heldout_bits_per_byte"].keys() == {"en", "ja"}
    if name in ALIKE[1:]:  # the first is a longer training
        assert last["heldout_bits_per_byte"] == pytest.approx(laboratory["ZeRO-2"].lines[-1]["heldout_bits_per_byte"], rel=1e-4)
    assert [line["step"] for line in laboratory[name].lines if "heldout_bits_per_byte" in line] == [last["step"]]


def bits_by_hand(case: Case, root: Path) -> dict[str, float]:
    """−log2 softmax of every token of the held-out texts, cut where the sequence length is over, over the texts' bytes."""
    import torch

    tokenizer, length = load_tokenizer(root / "inputs/model"), SEQUENCE_LENGTH
    model, bits = plain_model(case, root / case.folder), {}
    for language, characters in packer().heldout_characters.items():
        texts = first_texts(read_documents(root / f"inputs/text/heldout/{language}.jsonl.gz"), characters)
        sum_of_bits = 0.0
        for text in texts:
            tokens = torch.tensor([tokenizer.bos, *tokenizer.encode(text)])
            for start in range(0, len(tokens) - 1, length):
                window = tokens[start : start + length + 1]
                with torch.no_grad():
                    logits = model(input_ids=window[None, :-1]).logits[0].double()
                sum_of_bits -= float(torch.log2(logits.softmax(-1)).gather(-1, window[1:, None]).sum())
        bits[language] = sum_of_bits / sum(len(text.encode()) for text in texts)
    return bits


def test_measuring_changes_no_loss_and_no_weight(laboratory: Laboratory) -> None:
    measured, not_measured = laboratory["2 ranks, ZeRO-3"], laboratory["2 ranks, ZeRO-3, not measured"]
    assert "heldout_bits_per_byte" in measured.lines[-1]
    assert "heldout_bits_per_byte" not in not_measured.lines[-1]
    for key in ("loss", "gradient_norm"):
        assert [line[key] for line in measured.lines] == [line[key] for line in not_measured.lines]
    assert furthest(measured.weights, not_measured.weights) == 0


def test_the_routers_loss_is_divided_by_the_accumulation_once_and_its_experts_are_watched(laboratory: Laboratory) -> None:
    """Regression: moe-recipes divided by it, and DeepSpeed did again; 4 micro-batches here, 2 and 2 at two ranks."""
    gate, seen = "model.layers.0.mlp.gate.weight", laboratory["Mixtral"]
    case = CASES["Mixtral"]
    weaker = trainer(**(SHORT | dict(case.changes) | {"router_auxiliary_loss": 0.5 / 4}))
    divided_twice = Plain(weaker, laboratory.root / case.folder, case.micro_batch_size).train().gradients
    assert furthest({gate: divided_twice[gate]}, {gate: seen.gradients[gate]}) > 0.01
    assert furthest(laboratory["2 ranks, Mixtral"].gradients, seen.gradients) < 3e-6
    line = seen.lines[0]
    assert line["expert_load_min"] <= 1 <= line["expert_load_max"]
    assert sum(line[f"expert_load/{number}"] for number in range(4)) == pytest.approx(4, abs=1e-5)
    assert 0 < line["router_entropy"] <= 1
    assert line["router_loss"] > 1


def test_zero_3_fetches_a_sparse_block_as_one_and_recomputed_activations_change_nothing(laboratory: Laboratory) -> None:
    """Regression: experts that no token reaches left ranks waiting for each other for ever (DeepSpeed 4808)."""
    kept, recomputed = laboratory["Mixtral"], laboratory["Mixtral, recomputed"]
    assert kept.facts["leaves"] == ["MixtralSparseMoeBlock"]
    assert kept.facts["calls"] * 2 == recomputed.facts["calls"] > 0
    assert furthest(recomputed.gradients, kept.gradients) == 0


def test_bf16_keeps_masters_and_moments_in_fp32_and_pure_bf16_keeps_nothing_there(laboratory: Laboratory) -> None:
    bf16, fp32 = ["torch.bfloat16"], ["torch.float32"]
    made = {"weights": bf16, "masters": fp32, "moments": fp32, "frequencies": "torch.float32"}
    assert made.items() <= laboratory["bf16"].facts.items()
    for name in ("pure bf16", "pure bf16, small steps"):
        assert (made | {"masters": bf16, "moments": bf16}).items() <= laboratory[name].facts.items()


def test_pure_bf16_is_torchs_adamw_on_a_bf16_model_bit_for_bit(laboratory: Laboratory) -> None:
    import numpy as np
    import torch

    from components.train.loop.model import build_config, build_model

    component, folder = CASES["pure bf16"].component, laboratory.root / "inputs"
    training, shards = component.training, TokenShards(folder / "tokens")
    config, kernels = build_config(training, folder / "model", shards.index), KERNELS.model_copy(update=SDPA)
    model = build_model(training, folder / "model", config, kernels)
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    norms = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, betas=training.adam_betas, eps=training.adam_epsilon, foreach=False)
    for step in range(training.steps):
        for group in adam.param_groups:
            group["lr"] = component.learning_rate_at(step)
        tokens = torch.from_numpy(np.stack([shards.sample(step * 4 + number) for number in range(4)]))
        logits = model(input_ids=tokens[:, :-1]).logits.flatten(0, 1).float()
        model.zero_grad()
        torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten()).backward()
        adam.step()
    exported = laboratory["pure bf16"].weights
    assert {name: torch.equal(exported[name], weight) for name, weight in model.named_parameters()} == dict.fromkeys(
        exported, True
    )


def test_steps_below_half_a_unit_in_the_last_place_are_lost_in_pure_bf16_and_add_up_with_masters(
    laboratory: Laboratory,
) -> None:
    """A weight of 2⁻⁷ has units of 2⁻¹⁴; at Swallow's 2e-5 a step of AdamW is a third of one."""
    name = "model.layers.0.mlp.down_proj.weight"
    start = start_of(laboratory, "bf16")[name]
    large = start.abs() >= 2**-7
    moved = {case: float((laboratory[case].weights[name] != start)[large].float().mean()) for case in SMALL}
    assert moved["pure bf16, small steps"] == 0
    assert moved["bf16"] > 0.3


SMALL = ("bf16", "pure bf16, small steps")


def start_of(laboratory: Laboratory, name: str) -> dict[str, Any]:
    from components.train.loop.model import build_config, build_model

    training, folder = CASES[name].component.training, laboratory.root / "inputs"
    config = build_config(training, folder / "model", TokenShards(folder / "tokens").index)
    return dict(build_model(training, folder / "model", config, KERNELS).named_parameters())
