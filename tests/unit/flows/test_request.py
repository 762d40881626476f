"""Overrides are validated before anything runs, and say which key is wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from components.errors import ParameterError
from components.recipes import read_parameters
from flows.request import Request, render, resolve_parameters

SMOKE = Path(__file__).parents[3] / "recipes" / "smoke.yaml"


def recipe() -> Any:
    return read_parameters(SMOKE).values


def resolved(*values: str, **overrides: Any) -> Any:
    request = Request.model_validate({"recipe": "smoke", "values": list(values), "overrides": overrides})
    return resolve_parameters(recipe(), request, "recipes/smoke.yaml")


def test_an_override_changes_its_key_and_nothing_else() -> None:
    changed, plain = resolved("train.learning_rate=1e-4").model_dump(), resolved().model_dump()
    assert changed["train"].pop("learning_rate") == 1e-4
    plain["train"].pop("learning_rate")
    assert changed == plain


def test_the_forms_typed_override_equals_the_shells() -> None:
    assert resolved(train={"steps": 77}) == resolved("train.steps=77")


def test_an_element_of_a_list_can_be_set() -> None:
    assert resolved("pack.mixture.0.weight=0.8").pack.mixture[0].weight == 0.8


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("train.lerning_rate=1e-4", ["train.lerning_rate", "learning_rate"]),
        ("trian.learning_rate=1e-4", ["trian", "train"]),
        ("train.learning_rate=fast", ["train.learning_rate", "fast"]),
        ("train.kind=megatron", ["train", "megatron", "deepspeed"]),
        ("pack.mixture.9.weight=1", ["pack.mixture.9", "0, 1"]),
    ],
)
def test_a_wrong_override_names_the_key_and_what_there_is(assignment: str, words: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        resolved(assignment)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    "assignment",
    [
        "train.steps=0100", "train.steps=1:30", "train.steps=yes", "train.steps=1e2", "train.steps=1.0", "train.steps='12'",
        "train.steps=true", "train.learning_rate=yes", "train.learning_rate=inf", "train.learning_rate='1e-4'",
        "train.adam_epsilon=.inf", "train.z_loss=inf", "train.z_loss=1e999", "train.seed=0x1f", "publish.name=1",
    ],
)  # fmt: skip
def test_a_word_is_never_taken_for_a_number_nor_a_number_for_a_word(assignment: str) -> None:
    path = assignment.partition("=")[0]
    with pytest.raises(ParameterError, match=rf"does not describe a run:\n  {path}: "):
        resolved(assignment)


def test_a_value_means_what_a_reader_of_version_1_2_expects() -> None:
    found = resolved("clean.languages=[ja, no]", "publish.name=nan", "publish.title=1e400", "train.learning_rate=1e-4")
    assert (found.clean.languages, found.publish.name, found.publish.title) == (["ja", "no"], "nan", "1e400")
    assert found.train.learning_rate == 1e-4


def test_an_override_of_a_list_that_two_sections_share_by_an_alias_changes_one_of_them() -> None:
    values = recipe()
    values["train"]["adam_betas"] = values["train_base"]["adam_betas"] = [0.9, 0.95]
    request = Request.model_validate({"recipe": "smoke", "values": ["train.adam_betas.1=0.999"]})
    found = resolve_parameters(values, request, "recipes/smoke.yaml")
    assert (found.train.adam_betas, found.train_base.adam_betas) == ((0.9, 0.999), (0.9, 0.95))


@pytest.mark.parametrize(
    "wrong",
    [
        {"recipe": "swallow-xx"},
        {"recipe": "smoke", "overrides": {"train": {"learning_rate": 2}}},
        {"recipe": "smoke", "overrides": {"train": {"lerning_rate": 0.1}}},
        {"recipe": "smoke", "values": ["no assignment"]},
        {"recipe": "smoke", "reference": ""},
    ],
)
def test_the_form_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Request.model_validate(wrong)


def test_a_rendered_parameter_file_reads_back_as_the_same_parameters() -> None:
    parameters = resolved()
    text = render(parameters)
    request = Request.model_validate({"recipe": "smoke"})
    assert resolve_parameters(yaml.safe_load(text), request, "params.yaml") == parameters
    assert render(parameters) == text


def test_the_form_asks_for_params_yaml_unless_a_recipe_is_chosen() -> None:
    assert Request.model_validate({}).file == "params.yaml"
    assert Request.model_validate({"recipe": "smoke"}).file == "recipes/smoke.yaml"
    assert Request.model_json_schema()["$defs"]["Recipe"]["enum"][:2] == ["params", "smoke"]
