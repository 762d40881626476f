"""Every listed component keeps the rules; an unlisted or malformed one is caught."""

from pathlib import Path
from typing import Literal

import pytest
import yaml

from components import params
from components.base.fields import Fields
from components.base.ports import Context
from components.clean.contract import Cleaner, CleanReport
from components.params import STAGES, Params
from tests.support.conformance import STAGE_FOLDERS, breaches, contract_of, defined, listed

UNIONS = {stage: getattr(params, stage.capitalize()) for stage in STAGE_FOLDERS}
ROOT = Path(__file__).parents[3]


def alternatives(stage: str) -> set[type]:
    union = UNIONS[stage]
    return set(listed(union.__origin__ if hasattr(union, "__origin__") and hasattr(union, "__metadata__") else union))


@pytest.mark.parametrize("stage", STAGE_FOLDERS)
def test_every_listed_component_keeps_the_rules(stage: str) -> None:
    assert [breach for component in alternatives(stage) for breach in breaches(component, stage)] == []


@pytest.mark.parametrize("stage", STAGE_FOLDERS)
def test_every_component_of_a_stages_folder_is_listed(stage: str) -> None:
    assert defined(stage) == alternatives(stage), f"list it in components/params.py, or delete it: {stage}"


@pytest.mark.parametrize("stage", STAGE_FOLDERS)
def test_kinds_are_distinct(stage: str) -> None:
    kinds = [component.model_fields["kind"].annotation for component in alternatives(stage)]
    assert len({str(kind) for kind in kinds}) == len(kinds)


class Careless(Cleaner):
    kind: Literal["careless"]
    language: str = "ja"

    def run(self, context: Context, pages: Path, output: Path) -> CleanReport:
        raise NotImplementedError


def test_a_malformed_component_is_caught_in_every_respect() -> None:
    found = " ".join(breaches(Careless, "clean"))
    for words in ("no `version", "language has a default", "no docstring", "takes ['context', 'pages', 'output']"):
        assert words in found


def test_an_abstract_or_foreign_component_is_caught() -> None:
    assert any("abstract" in breach for breach in breaches(contract_of("train"), "train"))
    assert any("does not subclass Trainer" in breach for breach in breaches(Careless, "train"))


def test_an_unlisted_component_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    import components.clean.passthrough as module

    Careless.__module__, original = module.__name__, Careless.__module__
    monkeypatch.setattr(module, "Careless", Careless, raising=False)
    try:
        assert defined("clean") - alternatives("clean") == {Careless}
    finally:
        Careless.__module__ = original


def test_the_same_names_stand_in_params_and_pipeline_in_the_same_order() -> None:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert tuple(pipeline) == STAGES == tuple(Params.model_fields)
    for stage, definition in pipeline.items():
        assert definition["params"] == [stage]
        assert definition["cmd"].startswith(f"python -m components {stage} ")
        assert definition["outs"] == [f"artifacts/{stage}", f"artifacts/records/{stage}"]


def test_a_stages_command_names_its_data_dependencies_and_no_other() -> None:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage, definition in pipeline.items():
        pairs = [word.partition("=") for word in definition["cmd"].split()[4:]]
        inputs = {path for name, _, path in pairs if name not in ("output", "record")}
        declared = {path for path in definition.get("deps", []) if path.startswith("artifacts/")}
        if stage == "publish":
            declared = {p for p in declared if "/records/" not in p} | {"artifacts/records"}
        assert inputs == declared, stage


@pytest.mark.parametrize("recipe", sorted(p.name for p in (ROOT / "recipes").glob("*.yaml")))
def test_every_recipe_describes_a_run(recipe: str) -> None:
    assert params.load_params(ROOT / "recipes" / recipe)


def test_the_experiment_in_force_is_shipped_as_the_smoke() -> None:
    assert params.load_params(ROOT / "params.yaml") == params.load_params(ROOT / "recipes/smoke.yaml")


def subclasses(model: type[Fields]) -> set[type[Fields]]:
    return {model, *(found for child in model.__subclasses__() for found in subclasses(child))}


def test_no_component_has_a_parameter_that_a_recipe_would_take_for_composition() -> None:
    fields = {name for model in subclasses(Fields) for name in model.model_fields}
    assert "kind" in fields
    assert "use" not in fields
    assert "base" not in params.Params.model_fields
