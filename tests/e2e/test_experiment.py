"""An edited `params.yaml` is what runs: under `martlet run` without a recipe, and under DVC alone, to the same bytes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.formats.digests import digest_folder
from components.params import STAGES
from tests.e2e.conftest import Clone, outcomes
from tests.support.builders.tiny_recipe import tiny_recipe

MINIMUM_CHARACTERS = 250


@pytest.fixture
def edited(new_clone: Callable[[str], Clone]) -> Callable[[str], Clone]:
    """Makes clones with the same edit of `params.yaml`, which nobody committed: the tiny recipe with one more change."""

    def make(name: str) -> Clone:
        clone = new_clone(name)
        params = tiny_recipe(clone.path)
        params["clean"]["minimum_characters"] = MINIMUM_CHARACTERS
        (clone.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return clone

    return make


def test_an_edited_params_yaml_runs_and_dvc_alone_makes_the_same_of_it(edited: Callable[[str], Clone]) -> None:
    clone, plain = edited("clone"), edited("plain")
    done = clone.run("run")
    assert done.returncode == 0, done.stdout
    assert outcomes(done.stdout) == dict.fromkeys(STAGES, "ran")
    workspace = clone.workspace(done.stdout)
    assert workspace.name.startswith("params-")
    assert f"sealed as run/{workspace.name}" in done.stdout
    assert record(workspace, "clean")["parameters"]["minimum_characters"] == MINIMUM_CHARACTERS
    assert sections(workspace) == sections(clone.path)
    assert workspace.name in clone.run("status").stdout
    assert json.loads(clone.run("batch", "params", "--step", "3", "--json").stdout)["run"] == workspace.name

    command = [sys.executable, "-m", "dvc", "repro", "clean"]
    repro = subprocess.run(command, cwd=plain.path, env=plain.environment(), capture_output=True, text=True, check=False)
    assert repro.returncode == 0, repro.stdout + repro.stderr
    for result in ("collect", "clean"):
        assert digest_folder(plain.path / "artifacts" / result) == digest_folder(workspace / "artifacts" / result)
    assert record(plain.path, "clean")["fingerprint"] == record(workspace, "clean")["fingerprint"]


def record(folder: Path, stage: str) -> Any:
    return json.loads((folder / "artifacts/records" / stage / "record.json").read_text(encoding="utf-8"))


def sections(folder: Path) -> Any:
    """Every value of a parameter file, as the project writes it: `{5: …}` and `{'5': …}` are one."""
    from components.params import load_params

    return load_params(folder / "params.yaml")
