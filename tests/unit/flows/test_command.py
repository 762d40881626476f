"""The command answers at once, and its mistakes are messages."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from infra import git

ROOT = Path(__file__).parents[3]


def martlet(*arguments: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments], cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv=['martlet','--help'];\nimport flows.cli\ntry: flows.cli.main()\nexcept SystemExit: pass\n"
    code += "print([m for m in ('prefect','dvc','mlflow','torch','yaml','pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
    assert "run" in done.stdout


def test_parameters_import_without_anything_heavy() -> None:
    """How long it takes is `make bench-start`'s to say."""
    code = (
        "import sys, components.params;"
        "print([m for m in ('torch','transformers','deepspeed','lm_eval','datasets','matplotlib','numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_misspelt_recipe_names_those_that_there_are() -> None:
    done = martlet("run", "smoek")
    assert done.returncode == 1
    assert "smoek" in done.stderr
    assert "smoke" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_key_starts_nothing() -> None:
    clock = time.monotonic()
    done = martlet("run", "smoke", "--set", "train.lerning_rate=1e-4")
    assert done.returncode == 1
    assert "train.lerning_rate" in done.stderr
    assert "learning_rate" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - clock < 30


def test_a_recipe_is_shown_whole_and_params_yaml_where_none_is_named(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    whole = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("steps: 100\n", "steps: 101\n")
    (tmp_path / "params.yaml").write_text(whole, encoding="utf-8")
    git.git("init", "--quiet", cwd=tmp_path)
    git.commit_all(tmp_path, "a clone")
    experiment, smoke = martlet("recipe", "show", cwd=tmp_path), martlet("recipe", "show", "smoke", cwd=tmp_path)
    values = yaml.safe_load(experiment.stdout)
    assert values["train"].pop("steps") == 101
    expected = yaml.safe_load(smoke.stdout)
    assert expected["train"].pop("steps") == 100
    assert values == expected
    planned = martlet("plan", "--set", "train.steps=77", cwd=tmp_path)
    assert planned.stdout.startswith("run params-"), planned.stderr
