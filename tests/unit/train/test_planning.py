"""What a run takes, before it runs: shapes, operations, memory, disk; and the two Swallow recipes in numbers."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from components.base.model_summary import UNKNOWN_MODEL, ModelShape, ModelSummary
from components.collect.known_models import KNOWN, MISTRAL_7B, MIXTRAL_8X7B
from components.errors import ParameterError
from components.formats.files import write_json
from components.models.summary import read_model_summary
from components.params import component_of, load_params
from components.train.checkpoint.store import prune
from components.train.flops import attended, forward_flops, step_flops
from components.train.parameters import CheckpointRetention
from components.train.planning.forecast import forecast, kept_steps
from components.train.planning.memory import Layout, memory_of
from flows.commands.plan import summaries_before
from infra.sites import load_site
from tests.support.builders.tiny_training import trainer
from tests.support.fakes import SITE

ROOT = Path(__file__).parents[3]
CLUSTER = replace(SITE, train_processes=128, train_micro_batch_size=8, accelerator_tflops=312.0)


@pytest.mark.parametrize(
    ("repository", "parameters", "active"),
    [
        ("mistralai/Mistral-7B-v0.1", 7_241_732_096, 7_241_732_096),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 46_702_792_704, 12_879_925_248),
    ],
)
def test_the_known_models_have_the_published_numbers_of_parameters(repository: str, parameters: int, active: int) -> None:
    assert KNOWN[repository].parameters() == parameters
    assert KNOWN[repository].active_parameters() == active


def test_a_tied_head_is_counted_once() -> None:
    untied = KNOWN["mistralai/Mistral-7B-v0.1"]
    tied = replace(untied, shape=replace(MISTRAL_7B, tie_word_embeddings=True))
    assert untied.parameters() - tied.parameters() == 32_000 * 4096  # type: ignore[operator]


@pytest.mark.parametrize(("length", "window"), [(1, None), (7, None), (8, 3), (8, 8), (8, 20), (50, 1)])
def test_a_query_sees_itself_and_what_is_before_it_within_the_window(length: int, window: int | None) -> None:
    counted = [len(range(max(0, place + 1 - (window or length)), place + 1)) for place in range(length)]
    assert attended(length, window) == pytest.approx(sum(counted) / length)


def test_the_operations_of_a_token_are_those_of_each_matrix_written_out() -> None:
    """Mistral-7B at 4,096: queries and output 4096², keys and values 4096 × 1024, three matrices of 4096 × 14336, the head."""
    projections = 2 * (2 * 4096 * 4096 + 2 * 4096 * 1024)
    feed_forward = 2 * 3 * 4096 * 14336
    attention = 2 * 2 * 4096 * (4096 + 1) / 2
    token = 32 * (projections + feed_forward + attention) + 2 * 4096 * 32_000
    summary = KNOWN["mistralai/Mistral-7B-v0.1"]
    assert forward_flops(summary, attended(4096, 4096)) == token
    assert step_flops(summary, 4096, 1024) == 3 * token * 4096 * 1024
    sparse = 32 * (projections + 2 * feed_forward + 2 * 4096 * 8 + attention) + 2 * 4096 * 32_000
    assert forward_flops(ModelSummary(32_000, MIXTRAL_8X7B), attended(4096, None)) == sparse


def test_operations_are_six_a_parameter_and_token_but_for_embedding_and_attention() -> None:
    """The rule of thumb (arXiv 2001.08361): a check from outside that no factor is missing."""
    summary = KNOWN["mistralai/Mistral-7B-v0.1"]
    assert step_flops(summary, 1, 1) / (6 * (7_241_732_096 - 32_000 * 4096)) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_stages_share_out_optimizer_gradients_and_weights_in_turn(stage: int) -> None:
    summary, training = KNOWN["mistralai/Mistral-7B-v0.1"], trainer(precision="bf16")
    one, many = (memory_of(summary, training, Layout(stage, processes, 1)) for processes in (1, 64))
    assert many.optimizer == one.optimizer // 64
    assert many.gradients == one.gradients // (64 if stage > 1 else 1)
    assert many.weights == one.weights // (64 if stage > 2 else 1)
    assert (many.activations, many.logits) == (one.activations, one.logits)


@pytest.mark.parametrize(
    ("recipe", "numbers"),
    [
        ("swallow-ms-7b", {"parameters": "7.33 billion", "tokens": "104.86 billion: 25,000 steps × 1,024 sequences × 4,096",
                           "a global batch": "128 processes × micro-batch 8, accumulated 1 times",
                           "accelerator time": "10,771 hours at 40% of 312 TFLOP/s (this site's)"}),
        ("swallow-mx-8x7b", {"parameters": "46.70 billion, of which a token goes through 12.88 billion",
                             "checkpoints": "521.9 GiB each"}),
    ],
)  # fmt: skip
def test_a_swallow_recipe_is_planned_in_numbers_before_anything_is_there(
    recipe: str, numbers: dict[str, str], tmp_path: Path
) -> None:
    params = load_params(ROOT / "recipes" / f"{recipe}.yaml")
    rows = dict(params.train.forecast(summaries_before(params, tmp_path)["train"], CLUSTER))
    for name, words in numbers.items():
        assert rows[name].startswith(words)
    memory = [words for name, words in rows.items() if name.startswith("memory a process")]
    assert len(memory) == 3
    sizes = [float(re.match(r"[\d.]+", words).group()) for words in memory]  # type: ignore[union-attr]
    assert sizes == sorted(sizes, reverse=True)


def test_the_smokes_two_models_are_planned_from_its_recipe_and_then_from_its_files(tmp_path: Path) -> None:
    params = load_params(ROOT / "recipes/smoke.yaml")
    summaries = summaries_before(params, tmp_path)
    assert component_of(params, "train_base").model_summary(summaries["train_base"]).parameters() == 8_930_432
    assert summaries["train"].parameters() == 9_442_432  # 2,000 rows more, of both matrices
    (tmp_path / "expand").mkdir()
    config = {"model_type": "mistral", "vocab_size": 1000, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "num_key_value_heads": 1, "sliding_window": None}  # fmt: skip
    write_json(tmp_path / "expand/config.json", config)
    assert summaries_before(params, tmp_path)["train"].vocabulary == 1000


def test_a_model_of_another_family_has_no_shape_and_is_forecast_as_unknown(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "gpt2", "vocab_size": 50_257})
    assert read_model_summary(tmp_path) == ModelSummary(50_257, None)
    (row,) = forecast(trainer(architecture=None), UNKNOWN_MODEL, SITE)
    assert row[0] == "model"
    assert "known once it was collected" in row[1]


def test_a_batch_that_the_site_cannot_deal_out_is_said_in_the_plan() -> None:
    shape = ModelShape(8, 16, 1, 2, 1, 4, None, False, None, None)
    rows = dict(forecast(trainer(), ModelSummary(100, shape), replace(SITE, train_processes=3)))
    assert rows["a global batch"].startswith("would stop it: global_batch_size 4 is not a multiple of 6")


@pytest.mark.parametrize(("last", "every_steps"), [(1, None), (2, None), (2, 30), (3, 20), (99, None)])
def test_as_many_checkpoints_are_forecast_as_pruning_leaves(last: int, every_steps: int | None, tmp_path: Path) -> None:
    keep = CheckpointRetention(last=last, every_steps=every_steps, best=False)
    for step in (10, 20, 30, 40, 50, 60, 65):
        (tmp_path / f"step-{step:08d}").mkdir()
        prune(tmp_path, keep)
    left = {int(path.name.removeprefix("step-")) for path in tmp_path.iterdir()}
    assert kept_steps(65, 10, keep) == left
    shutil.rmtree(tmp_path)


def test_a_site_can_be_asked_about_as_if_it_were_larger() -> None:
    site = load_site("local", ["train_processes=128", "accelerator_tflops=989"])
    assert (site.train_processes, site.accelerator_tflops) == (128, 989)
    with pytest.raises(ParameterError, match="train_proceses"):
        load_site("local", ["train_proceses=128"])
    with pytest.raises(ParameterError, match="KEY=VALUE was expected, found 'train_processes'"):
        load_site("local", ["train_processes"])
