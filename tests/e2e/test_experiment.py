"""An edited `params.yaml` is what runs: under `martlet run` without a recipe, and under DVC alone, to the same bytes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.formats.digests import digest_folder
from components.params import STAGES, load_params
from tests.e2e.conftest import Clone, outcomes
from tests.support.builders.tiny_recipe import tiny_recipe

HELDOUT_CHARACTERS = 1300


@pytest.fixture
def edited(new_clone: Callable[[str], Clone]) -> Callable[[str], Clone]:
    """Makes clones with the same uncommitted edit of `params.yaml`: the tiny recipe with a change of its own."""

    def make(name: str) -> Clone:
        clone = new_clone(name)
        params = tiny_recipe(clone.path)
        params["evaluate"]["heldout_characters"] = HELDOUT_CHARACTERS
        (clone.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return clone

    return make


def test_an_edited_params_yaml_runs_and_dvc_alone_makes_the_same_of_it(edited: Callable[[str], Clone], tiny: Clone) -> None:
    """What the edit leaves alone is restored from the tiny recipe's run; DVC by itself, without that cache, makes it anew."""
    clone = edited("clone")
    (clone.home / "cache").symlink_to(tiny.home / "cache")
    done = clone.run("run")
    assert done.returncode == 0, done.stdout
    changed = STAGES.index("evaluate")
    assert outcomes(done.stdout) == dict.fromkeys(STAGES[:changed], "restored") | dict.fromkeys(STAGES[changed:], "ran")
    workspace = clone.workspace(done.stdout)
    assert workspace.name.startswith("params-")
    assert record(workspace, "evaluate")["parameters"]["heldout_characters"] == HELDOUT_CHARACTERS
    assert load_params(workspace / "params.yaml") == load_params(clone.path / "params.yaml")
    assert workspace.name in clone.run("status").stdout
    assert json.loads(clone.run("batch", "params", "--step", "3", "--json").stdout)["run"] == workspace.name

    plain = edited("plain")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # as in a shell that activated the virtual environment
    repro = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "clean"], cwd=plain.path, env=plain.environment(PATH=path),
        text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert repro.returncode == 0, repro.stdout
    for stage in ("collect", "clean"):
        assert f"Running stage '{stage}'" in repro.stdout
        assert digest_folder(plain.path / "artifacts" / stage) == digest_folder(workspace / "artifacts" / stage)
        assert record(plain.path, stage)["fingerprint"] == record(workspace, stage)["fingerprint"]


def record(folder: Path, stage: str) -> Any:
    return json.loads((folder / "artifacts/records" / stage / "record.json").read_text(encoding="utf-8"))
