"""What a run is made of: `params.yaml` as it stands, or a recipe, of one commit; and the id that follows from it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import ParameterError
from flows.request import Request, render
from flows.workspace import Workspace, open_workspace, plan_workspace, seal, sealed_as
from infra import git
from infra.remote.address import remote_in
from infra.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    (tmp_path / ".dvc").mkdir()
    for name in ("params.yaml", ".gitignore", ".dvc/.gitignore", ".dvc/config"):
        shutil.copy(ROOT / name, tmp_path / name)
    git.git("init", "--quiet", cwd=tmp_path)
    git.commit_all(tmp_path, "as shipped")
    return tmp_path


def planned(clone: Path, **request: Any) -> Workspace:
    """Of the tree as it stands, as `martlet run` does."""
    asked = Request.model_validate({"reference": git.snapshot(clone), **request})
    return plan_workspace(asked, clone, Settings(home=clone / "home"))


def edit(clone: Path, section: str, **values: Any) -> None:
    params = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8"))
    params[section] |= values
    (clone / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def test_without_a_recipe_params_yaml_is_what_runs_with_its_uncommitted_edits(clone: Path) -> None:
    shipped = planned(clone)
    edit(clone, "train", steps=77)
    edited = planned(clone)
    assert edited.params.train.model_dump() == shipped.params.train.model_dump() | {"steps": 77}
    assert [workspace.run.split("-")[0] for workspace in (shipped, edited)] == ["params", "params"]
    assert edited.run != shipped.run
    assert planned(clone).run == edited.run


def test_an_override_changes_params_yaml_as_it_changes_a_recipe(clone: Path) -> None:
    changed = planned(clone, values=["train.steps=78"], overrides={"expand": {"pieces": 33000}}).params
    assert (changed.train.model_dump()["steps"], changed.expand.model_dump()["pieces"]) == (78, 33000)


def test_a_recipes_parameters_do_not_depend_on_params_yaml(clone: Path) -> None:
    before = planned(clone, recipe="smoke")
    edit(clone, "train", steps=77)
    after = planned(clone, recipe="smoke")
    assert after.params == before.params
    assert after.run.startswith("smoke-")


def test_the_reference_says_which_params_yaml_is_meant(clone: Path) -> None:
    edit(clone, "train", steps=77)
    assert planned(clone, reference="HEAD").params.train.model_dump()["steps"] == 100


def test_what_a_workspace_would_hold_runs_as_params_yaml_too(clone: Path) -> None:
    recipe = planned(clone, recipe="smollm2-135m-ja")
    (clone / "params.yaml").write_text(render(recipe.params), encoding="utf-8")
    assert planned(clone).params == recipe.params


def test_a_recipe_called_params_is_refused(clone: Path) -> None:
    (clone / "recipes/params.yaml").write_text("base: smoke\n", encoding="utf-8")
    with pytest.raises(ParameterError, match=r"recipes/params\.yaml.*Rename"):
        planned(clone, recipe="params")


def test_params_yaml_is_refused_unless_it_is_whole(clone: Path) -> None:
    (clone / "params.yaml").write_text("base: smoke\n", encoding="utf-8")
    with pytest.raises(ParameterError, match=r"^params\.yaml: base: "):
        planned(clone)


def test_a_commit_without_the_file_says_what_there_is(clone: Path) -> None:
    (clone / "recipes/smoke.yaml").unlink()
    with pytest.raises(ParameterError, match=r"no recipes/smoke\.yaml at .* There are: smollm2-135m-ja, "):
        planned(clone, recipe="smoke")
    (clone / "params.yaml").unlink()
    with pytest.raises(ParameterError, match=r"no params\.yaml at "):
        planned(clone)


def opened(clone: Path, remote: str = "") -> Workspace:
    """The workspace of the tree's run, opened with this MARTLET_REMOTE."""
    asked = Request.model_validate({"reference": git.snapshot(clone)})
    workspace = plan_workspace(asked, clone, Settings(home=clone / ".martlet", remote=remote))
    open_workspace(workspace, asked)
    return workspace


def test_a_runs_remote_is_committed_before_anything_runs_and_its_id_does_not_depend_on_it(clone: Path) -> None:
    plain, sent = planned(clone).run, opened(clone, "s3://bucket/team/")
    assert sent.run == plain
    assert b"url = s3://bucket/team\n" in (git.read_file(sent.path, "HEAD", ".dvc/config") or b"")
    assert git.is_clean(sent.path)


def test_a_sealed_run_keeps_its_remote_and_is_sealed_again_only_for_another(clone: Path) -> None:
    first = opened(clone, "s3://bucket/team")
    assert seal(first, "summary") == first.tag
    without = opened(clone)
    assert remote_in(without.path)["url"] == "s3://bucket/team"
    assert sealed_as(without) == sealed_as(opened(clone, "s3://bucket/team")) == first.tag
    elsewhere = opened(clone, "s3://other/team")
    assert sealed_as(elsewhere) == ""
    assert seal(elsewhere, "summary") == f"{first.tag}.2"


def test_without_a_remote_none_is_configured(clone: Path) -> None:
    assert remote_in(opened(clone).path) == {}
