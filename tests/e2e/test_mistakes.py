"""What a user can get wrong ends in one message that names the thing and the next step: exit code 1, no traceback."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Clone
from tests.support.builders.tiny_recipe import tiny_recipe


def refused(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert done.returncode == 1, done.stdout
    message = done.stdout.rsplit("error:", 1)[-1]
    assert all(word in message for word in words), done.stdout
    assert "Traceback" not in done.stdout


@pytest.fixture
def clone(tiny: Clone) -> Clone:
    return tiny


def test_a_wrong_kind(clone: Clone) -> None:
    refused(clone.run("run", "tiny", "--set", "train.kind=megatron"), "recipes/tiny.yaml", "train", "megatron", "deepspeed")


def test_a_missing_source(clone: Clone) -> None:
    done = clone.run("run", "tiny", "--set", "collect.sources.0.package=no-such-package")
    refused(done, "developers-ja", "no-such-package")


def test_an_empty_corpus(clone: Clone) -> None:
    refused(clone.run("run", "tiny", "--set", "clean.minimum_characters=100000000"), "minimum_characters")


def test_a_recipe_that_is_no_yaml(new_clone: Callable[[str], Clone]) -> None:
    broken = new_clone("broken")
    (broken.path / "recipes" / "broken.yaml").write_text("train: [1, 2\n", encoding="utf-8")
    refused(broken.run("run", "broken"), "recipes/broken.yaml", "YAML")


def test_a_misspelt_key_in_a_recipe(new_clone: Callable[[str], Clone]) -> None:
    clone = new_clone("misspelt")
    recipe = tiny_recipe(clone.path)
    recipe["train"]["lerning_rate"] = recipe["train"].pop("learning_rate")
    (clone.path / "recipes" / "misspelt.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    refused(clone.run("run", "misspelt"), "recipes/misspelt.yaml", "train.lerning_rate", "train.learning_rate", "missing")


def test_an_unknown_reference(clone: Clone) -> None:
    refused(clone.run("run", "tiny", "--ref", "no-such-branch"), "no-such-branch")


def test_a_tokenizer_that_does_not_match_the_model(clone: Clone, undisturbed: Path) -> None:
    """By hand, through the door: the base model on tokens of the expanded vocabulary."""
    paths = ["model=artifacts/train_base", "tokens=artifacts/pack", "output=/tmp/never", "record=/tmp/never"]
    done = subprocess.run(
        [sys.executable, "-m", "components", "train", *paths], cwd=undisturbed, env=clone.environment(), text=True,
        check=False, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    refused(done, "artifacts/pack", "32,200", "artifacts/train_base")


def test_a_prefect_server_that_does_not_answer(clone: Clone) -> None:
    done = clone.run("run", "tiny", "--set", "train.seed=99", PREFECT_API_URL="http://127.0.0.1:9/api")
    refused(done, "http://127.0.0.1:9/api", "PREFECT_API_URL")


def test_a_full_disk(clone: Clone, tmp_path: Path) -> None:
    """On a real full file system: a small one, mounted where only this process sees it."""
    home = tmp_path / "small"
    home.mkdir()
    script = 'mount -t tmpfs -o size=24m none "$1" && shift && exec "$@"'
    enter = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    assert shutil.which("unshare")
    done = subprocess.run(
        [*enter, "sh", "-c", script, "sh", str(home), sys.executable, "-m", "flows", "run", "tiny"],
        cwd=clone.path, env=clone.environment(MARTLET_HOME=str(home)), text=True, check=False, timeout=300,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    refused(done, "disk is full", "MARTLET_HOME")
