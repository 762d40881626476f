"""The facts of a written model, which training and publish check each in its own words."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
import torch
from safetensors.torch import save_file

from components.errors import TokenizerMismatch
from components.formats.files import write_json
from components.models.folder import EMBEDDING, HEAD
from components.models.verification import EXPERT, ModelFacts


def model(folder: Path, tensors: dict[str, torch.Tensor], **config: object) -> ModelFacts:
    write_json(folder / "config.json", config)
    save_file(tensors, folder / "model.safetensors")
    return ModelFacts(folder, config)


def test_rows_are_the_pieces_and_the_padding_that_is_stated(tmp_path: Path) -> None:
    facts = model(tmp_path, {EMBEDDING: torch.zeros(48, 4), HEAD: torch.zeros(47, 4)}, padding_rows=8)
    assert (facts.rows(40), facts.head_rows) == (48, 47)
    with pytest.raises(TokenizerMismatch, match="41 pieces but the embedding has 48 rows"):
        facts.rows(41)


def test_a_model_whose_embedding_serves_as_head_has_no_rows_of_a_head(tmp_path: Path) -> None:
    assert model(tmp_path, {EMBEDDING: torch.zeros(48, 4)}).head_rows is None


def test_types_are_those_of_the_files(tmp_path: Path) -> None:
    facts = model(tmp_path, {EMBEDDING: torch.zeros(4, 2, dtype=torch.bfloat16), "norm": torch.zeros(2)})
    assert (facts.embedding_dtype, facts.stored_dtypes) == ("bfloat16", {"BF16", "F32"})


@pytest.mark.parametrize(("config", "stated"), [
    ({"dtype": "float16", "torch_dtype": "float32"}, "float16"), ({"torch_dtype": "float32"}, "float32"), ({}, "bfloat16"),
    ({"dtype": None}, None),
])  # fmt: skip
def test_the_stated_type_is_found_where_either_version_of_transformers_puts_it(
    config: dict[str, object], stated: str | None
) -> None:
    assert ModelFacts(Path("model"), config).stated_dtype(otherwise="bfloat16") == stated


@pytest.mark.parametrize("config", [{"rope_parameters": {"rope_theta": 1e6}, "rope_theta": 1e4}, {"rope_theta": 1e6}])
def test_the_ropes_base_is_found_where_either_version_of_transformers_puts_it(config: dict[str, object]) -> None:
    assert ModelFacts(Path("model"), config).rope_theta == 1e6


def test_a_mixtrals_experts_are_missed_by_the_hubs_names(tmp_path: Path) -> None:
    names = [EXPERT.format(layer=0, expert=expert, matrix=matrix) for expert in (0, 1) for matrix in ("w1", "w2")]
    stored = {name: torch.zeros(1) for name in names}
    facts = model(tmp_path, stored, num_hidden_layers=1, num_local_experts=2)
    assert facts.missing_experts == {EXPERT.format(layer=0, expert=expert, matrix="w3") for expert in (0, 1)}
    assert model(tmp_path, stored, num_hidden_layers=1).missing_experts == set()


def test_absolute_paths_are_found_at_any_depth_and_named_by_their_key() -> None:
    config = {"a": "/home/x", "b": {"c": ["no/path", {"d": "/scratch/y"}]}, "e": r"C:\models", "f": "models"}
    facts = ModelFacts(Path("model"), config)
    assert list(facts.absolute_paths(PurePosixPath)) == [("a", "/home/x"), ("b.c[1].d", "/scratch/y")]
    assert ("e", r"C:\models") in list(facts.absolute_paths(PurePosixPath, PureWindowsPath))


def test_differences_name_the_key_what_it_states_and_what_was_expected() -> None:
    facts = ModelFacts(Path("model"), {"vocab_size": 40, "use_cache": True})
    expected = {"vocab_size": 48, "use_cache": True, "dtype": "bfloat16", "output_router_logits": None}
    assert list(facts.differences(expected)) == [("vocab_size", 40, 48), ("dtype", None, "bfloat16")]
