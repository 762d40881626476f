"""A recipe is composed by few rules, whole before it is validated, and every mistake in it names file and key."""

import re
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import ParameterError
from components.params import load_params
from components.recipes import WholeParameters, read_parameters, resolve_parameter_file
from infra import git

ROOT = Path(__file__).parents[3]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def resolve(files: Mapping[str, Any], path: str = "recipes/r.yaml") -> WholeParameters:
    """Files as parsed values, or as text."""
    texts = {name: value if isinstance(value, str) else yaml.safe_dump(value) for name, value in files.items()}
    return resolve_parameter_file(path, texts.get)


def values(recipe: Any, **blocks: Any) -> Any:
    files = {f"recipes/blocks/{name}.yaml": block for name, block in blocks.items()}
    return resolve({"recipes/r.yaml": recipe, **files}).values


def test_the_base_is_changed_where_the_recipe_says_so_and_nowhere_else() -> None:
    base = {"train": {"steps": 5, "rate": {"peak": 1, "end": 0}, "betas": [1, 2]}, "pack": {"seed": 1}}
    recipe = {"base": "b", "train": {"steps": 6, "rate": {"end": 2}, "betas": [3]}}
    found = resolve({"recipes/r.yaml": recipe, "recipes/b.yaml": base})
    assert found.values == {"train": {"steps": 6, "rate": {"peak": 1, "end": 2}, "betas": [3]}, "pack": {"seed": 1}}
    assert found.files == ("recipes/r.yaml", "recipes/b.yaml")
    assert "recipes/b.yaml" in found.where


def test_nearer_wins_base_then_blocks_in_their_order_then_own_keys() -> None:
    files = {
        "recipes/b.yaml": {"train": {"of": "base", "first": 0, "second": 0, "own": 0}},
        "recipes/blocks/x.yaml": {"first": 1, "second": 1, "own": 1},
        "recipes/blocks/y.yaml": {"second": 2, "own": 2},
        "recipes/r.yaml": {"base": "b", "train": {"use": ["x", "y"], "own": 3}},
    }
    assert resolve(files).values == {"train": {"of": "base", "first": 1, "second": 2, "own": 3}}


def test_a_block_may_use_blocks_and_stand_at_any_depth() -> None:
    assert values({"use": "x", "clean": {"rules": {"use": "y"}}}, x={"pack": {"use": "y"}}, y={"limit": 1}) == {
        "pack": {"limit": 1}, "clean": {"rules": {"limit": 1}}
    }  # fmt: skip


def test_another_kind_replaces_instead_of_being_merged() -> None:
    files = {
        "recipes/b.yaml": {"expand": {"kind": "sentencepiece", "pieces": 9}, "train": {"kind": "deepspeed", "steps": 5}},
        "recipes/r.yaml": {"base": "b", "expand": {"kind": "passthrough"}, "train": {"kind": "deepspeed", "seed": 1}},
    }
    assert resolve(files).values == {
        "expand": {"kind": "passthrough"}, "train": {"kind": "deepspeed", "steps": 5, "seed": 1}
    }  # fmt: skip


def test_a_list_takes_the_elements_of_a_block_in_its_place() -> None:
    recipe = {"sources": [{"name": 0}, {"use": "two"}, {"use": ["two", "none"]}, {"use": "one", "name": 9}]}
    assert values(recipe, two=[{"name": 1}, {"name": 2}], none=[], one={"name": 8, "path": "p"})["sources"] == [
        {"name": 0}, {"name": 1}, {"name": 2}, {"name": 1}, {"name": 2}, {"name": 9, "path": "p"}
    ]  # fmt: skip


def test_what_two_sections_use_is_not_shared_between_them() -> None:
    found = values({"train": {"use": "x"}, "train_base": {"use": "x"}}, x={"betas": [1], "keep": {"last": 2}})
    found["train"]["betas"].append(2)
    found["train"]["keep"]["last"] = 3
    assert found["train_base"] == {"betas": [1], "keep": {"last": 2}}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, ["recipes/r.yaml", "does not exist"]),
        ({"r": "train: [1"}, ["recipes/r.yaml", "YAML"]),
        ({"r": [1]}, ["recipes/r.yaml", "sections"]),
        ({"r": {"base": "smok"}}, ["recipes/r.yaml: base", "there is no recipes/smok.yaml"]),
        ({"r": {"base": ["smoke"]}}, ["recipes/r.yaml: base", "name", "['smoke']"]),
        ({"r": {"base": "b"}, "b": [1]}, ["recipes/b.yaml", "sections"]),
        ({"r": {"base": "r"}}, ["recipes/r.yaml: base", "made of itself", "recipes/r.yaml → recipes/r.yaml"]),
        ({"r": {"base": "b"}, "b": {"base": "r"}}, ["recipes/b.yaml: base", "recipes/b.yaml → recipes/r.yaml"]),
        ({"r": {"base": "params"}, "params": {}}, ["recipes/params.yaml", "Rename"]),
        ({"r": {"clean": {"use": "ruls"}}}, ["recipes/r.yaml: clean.use", "there is no recipes/blocks/ruls.yaml"]),
        ({"r": {"clean": {"use": "../b"}}}, ["recipes/r.yaml: clean.use", "../b"]),
        ({"r": {"clean": {"use": 3}}}, ["recipes/r.yaml: clean.use", "name", "3"]),
        ({"r": {"clean": {"use": {"kind": "x"}}}}, ["recipes/r.yaml: clean.use", "name"]),
        ({"r": {"clean": {"use": "x"}}, "blocks/x": "word"}, ["recipes/blocks/x.yaml", "mapping or a list", "word"]),
        ({"r": {"clean": {"use": "x"}}, "blocks/x": "a: [1"}, ["recipes/blocks/x.yaml", "YAML"]),
        ({"r": {"clean": {"use": "x"}}, "blocks/x": [1]}, ["recipes/r.yaml: clean.use", "element of a list"]),
        ({"r": {"a": [1, {"use": "x", "b": 2}]}, "blocks/x": [1]}, ["recipes/r.yaml: a.1.use", "element of a list"]),
        ({"r": {"use": "x"}, "blocks/x": {"base": "r"}}, ["recipes/blocks/x.yaml: base", "only a recipe"]),
        ({"r": {"use": "x"}, "blocks/x": {"pack": {"use": "x"}}}, ["recipes/blocks/x.yaml: pack.use", "made of itself"]),
    ],
)
def test_a_mistake_names_file_and_key(files: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        resolve({f"recipes/{name}.yaml": value for name, value in files.items()})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_an_error_in_a_block_names_every_file_that_it_may_stand_in(tmp_path: Path) -> None:
    (tmp_path / "recipes/blocks").mkdir(parents=True)
    (tmp_path / "recipes/r.yaml").write_text("train: {use: x}\n")
    (tmp_path / "recipes/blocks/x.yaml").write_text("{kind: passthrough, version: 1, lerning_rate: 1}\n")
    with pytest.raises(ParameterError) as caught:
        load_params(tmp_path / "recipes/r.yaml")
    assert all(word in str(caught.value) for word in ("recipes/r.yaml", "recipes/blocks/x.yaml", "train.lerning_rate"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("base: smoke\n", "base"),
        ("use: swallow\n", "use"),
        ("clean: {rules: {use: swallow-cleaning}}\n", "clean.rules.use"),
        ("collect: {sources: [{use: debian-manuals-ja}]}\n", "collect.sources.0.use"),
    ],
)
def test_params_yaml_is_refused_unless_it_is_whole(text: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParameterError, match=r"DVC reads this file as it stands.*martlet recipe show") as caught:
        load_params(tmp_path / "params.yaml")
    assert f"params.yaml: {key}: " in str(caught.value)


def test_a_commit_and_the_working_tree_give_the_same(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    git.git("init", "--quiet", cwd=tmp_path)
    commit = git.commit_all(tmp_path, "recipes")
    for file in RECIPES:
        there = resolve_parameter_file(f"recipes/{file.name}", lambda path: git.read_file(tmp_path, commit, path))
        assert there.values == read_parameters(file).values


def test_every_block_is_used() -> None:
    files = {Path(file) for recipe in RECIPES for file in read_parameters(recipe).files}
    assert {file for file in files if file.parent.name == "blocks"} == set((ROOT / "recipes/blocks").glob("*.yaml"))


@pytest.mark.parametrize("page", ["docs/how-to/recipes.md", "docs/tutorial.md"])
def test_the_recipe_that_a_page_shows_describes_a_run(page: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    text = (ROOT / page).read_text(encoding="utf-8")
    (shown,) = re.findall(r"(?:```yaml\n|# recipes/mine.yaml\n)(.*?)(?:```|\n\n`)", text, re.DOTALL)
    (tmp_path / "recipes/mine.yaml").write_text(textwrap.dedent(shown), encoding="utf-8")
    assert load_params(tmp_path / "recipes/mine.yaml")
