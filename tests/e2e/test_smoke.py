"""The smoke recipe, from a fresh clone to a release, through Prefect and DVC, then again, and with something deleted."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.params import STAGES
from tests.e2e.conftest import Clone, make_clone, outcomes

pytestmark = pytest.mark.timeout(1800)  # two cores take four minutes for it alone, and share them with two more workers
SMOKE_SECONDS = 1700
PIPELINE_SECONDS_WHEN_DONE = 5.0
FEWER_STEPS = ("--set", "train_base.steps=35", "--set", "train.steps=40")
"""Half, which shows the same."""


@pytest.fixture(scope="module", params=[
    pytest.param(FEWER_STEPS, id="half of the steps"), pytest.param((), id="all steps", marks=pytest.mark.long),
])
def overrides(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What the recipe is run with."""
    chosen: tuple[str, ...] = request.param
    return chosen


@pytest.fixture(scope="module")
def line(
    overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory, downloads: Path
) -> Iterator[tuple[Clone, str]]:
    """One clone in which the smoke has run, and what it printed."""
    folder = tmp_path_factory.mktemp("smoke")
    clone = make_clone(folder, downloads)
    done = clone.run("run", "smoke", *overrides, timeout=SMOKE_SECONDS)
    assert done.returncode == 0, done.stdout
    yield clone, done.stdout
    shutil.rmtree(folder)


def record(workspace: Path, stage: str) -> Any:
    return json.loads((workspace / "artifacts" / "records" / stage / "record.json").read_text(encoding="utf-8"))


def test_every_stage_ran_and_the_summary_states_their_numbers(line: tuple[Clone, str]) -> None:
    _, output = line
    assert outcomes(output) == dict.fromkeys(STAGES, "ran")
    for words in ("pages in", "tokens per character", "32,000 + 2,000", "loss", "bits per byte", "release: "):
        assert words in output


def test_japanese_falls_clearly_and_english_stays_close(line: tuple[Clone, str]) -> None:
    clone, _ = line
    report = record(clone.workspaces[0], "evaluate")["report"]
    before, after = report["base_bits_per_byte"], report["model_bits_per_byte"]
    assert after["ja"] < 0.8 * before["ja"]
    assert after["en"] < 1.1 * before["en"]


def test_the_release_loads_in_a_clean_process_and_names_its_origin(line: tuple[Clone, str]) -> None:
    clone, _ = line
    release = clone.workspaces[0] / "artifacts" / "publish"
    code = (
        "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer; p=sys.argv[1];"
        "t=AutoTokenizer.from_pretrained(p); m=AutoModelForCausalLM.from_pretrained(p);"
        "print(len(t), m.get_input_embeddings().weight.shape[0]);"
        "print(t.decode(m.generate(**t('Debian は', return_tensors='pt'), max_new_tokens=8)[0]))"
    )
    command = [sys.executable, "-c", code, str(release)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=clone.path)
    assert done.stdout.splitlines()[0] == "34000 34000"
    lineage = json.loads((release / "lineage.json").read_text(encoding="utf-8"))
    text = json.dumps(lineage)
    for stage in STAGES[:-1]:
        assert record(clone.workspaces[0], stage)["output"]["sha256"] in text
        assert record(clone.workspaces[0], stage)["mlflow_run"]


def test_a_second_run_starts_nothing_and_is_fast(line: tuple[Clone, str], overrides: tuple[str, ...]) -> None:
    clone, _ = line
    again = clone.run("run", "smoke", *overrides)
    assert again.returncode == 0
    assert outcomes(again.stdout) == dict.fromkeys(STAGES, "unchanged")
    (seconds,) = re.findall(r"nothing to do, ([0-9.]+) s", again.stdout)
    assert float(seconds) <= PIPELINE_SECONDS_WHEN_DONE


def test_a_deleted_output_comes_back_and_nothing_else_runs(line: tuple[Clone, str], overrides: tuple[str, ...]) -> None:
    clone, _ = line
    pack = clone.workspaces[0] / "artifacts" / "pack"
    index = (pack / "index.json").read_bytes()
    shutil.rmtree(pack)
    again = clone.run("run", "smoke", *overrides)
    assert again.returncode == 0, again.stdout
    assert outcomes(again.stdout) == {**dict.fromkeys(STAGES, "unchanged"), "pack": "restored"}
    assert (pack / "index.json").read_bytes() == index


def test_what_ran_is_recoverable_from_git_alone(line: tuple[Clone, str]) -> None:
    clone, _ = line
    listed = subprocess.run(["git", "tag", "--list", "run/smoke-*"], cwd=clone.path, capture_output=True, text=True, check=True)
    assert listed.stdout
    for tag in listed.stdout.split():
        for name in ("params.yaml", "dvc.lock", "summary.md"):
            subprocess.run(["git", "cat-file", "-e", f"{tag}:{name}"], cwd=clone.path, check=True)
