"""The two examples of docs/how-to/add-a-component.md run where anything runs: on this machine, and as jobs of a cluster."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.formats.digests import digest_path
from infra.deploy.cluster.cluster import Cluster
from tests.e2e.conftest import Clone, make_clone
from tests.support.builders.tiny_recipe import tiny_recipe
from tests.support.how_to import files_of

CLEANER = "components/clean/length.py"
REGISTRY = "components/params.py"
BEFORE, LISTED = "SwallowCleaner | PassthroughCleaner,", "SwallowCleaner | PassthroughCleaner | LengthCleaner,"
AFTER = "from components.clean.passthrough"
IMPORT = "from components.clean.length import LengthCleaner\n"
LENGTH = {"kind": "length", "version": 1, "heldout_fraction": 0.2, "minimum_characters": 400}
WSD = {"kind": "wsd", "decay_steps": 4, "shape": "one_minus_sqrt"}


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Clone:
    """A clone with one file and one line more, and parameters that ask for both examples."""
    clone = make_clone(tmp_path_factory.mktemp("newcomer"), downloads)
    (clone.path / CLEANER).write_text(files_of("add-a-component.md")[CLEANER], encoding="utf-8")
    registry = clone.path / REGISTRY
    text = registry.read_text(encoding="utf-8")
    assert text.count(BEFORE) == 1
    registry.write_text(text.replace(BEFORE, LISTED).replace(AFTER, IMPORT + AFTER), encoding="utf-8")
    recipe = tiny_recipe(clone.path)
    recipe["clean"], recipe["train"]["schedule"] = LENGTH, WSD
    (clone.path / "params.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return clone


@pytest.fixture(params=["here", "on a cluster"])
def site(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables of either site."""
    if request.param == "here":
        return {}
    cluster: Cluster = request.getfixturevalue("cluster")
    return {"MARTLET_SITE": "slurm-dev", **cluster.environment()}


def open_door(clone: Clone, folder: Path, stage: str, site: dict[str, str], **inputs: Path) -> tuple[Path, dict[str, object]]:
    """One stage as DVC calls it, with a home of its own; its output and its record."""
    paths = {**inputs, "output": folder / stage, "record": folder / "records" / stage}
    words = [sys.executable, "-m", "components", stage, *(f"{name}={path}" for name, path in paths.items())]
    environment = clone.environment(**site) | {"MARTLET_HOME": str(folder / "home")}
    done = subprocess.run(words, cwd=clone.path, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return paths["output"], json.loads((paths["record"] / "record.json").read_text(encoding="utf-8"))


def was_a_job(record: dict[str, object]) -> bool:
    return record["usage"] is not None


def test_the_cleaner_filters_pages_on_either_site(
    newcomer: Clone, undisturbed: Path, site: dict[str, str], tmp_path: Path
) -> None:
    output, record = open_door(newcomer, tmp_path, "clean", site, sources=undisturbed / "artifacts/collect")
    assert was_a_job(record) is bool(site)
    counts = json.loads((output / "counts.json").read_text(encoding="utf-8"))
    assert list(counts["rejected"]) == ["no_text_response", "no_text", "minimum_characters"]
    assert counts["rejected"]["minimum_characters"] > 0
    assert counts["pages"] == counts["kept"] + sum(counts["rejected"].values())
    expected = newcomer.path.parent / "clean.digest"
    expected.write_text(expected.read_text() if expected.exists() else digest_path(output))
    assert digest_path(output) == expected.read_text(), "the other site wrote other bytes"


def test_the_schedule_trains_on_either_site(
    newcomer: Clone, undisturbed: Path, site: dict[str, str], tmp_path: Path
) -> None:
    artifacts = undisturbed / "artifacts"
    output, record = open_door(newcomer, tmp_path, "train", site, model=artifacts / "expand", tokens=artifacts / "pack")
    assert was_a_job(record) is bool(site)
    lines = (output / "losses.jsonl").read_text(encoding="utf-8").splitlines()
    rates = [json.loads(line)["learning_rate"] for line in lines]
    assert rates[2:9] == [max(rates)] * 7, "stable until the last four of twelve steps"
    assert rates[9] < max(rates)
    expected = [max(rates) - (max(rates) - rates[0]) * (step / 4) ** 0.5 for step in range(1, 4)]
    assert rates[9:] == pytest.approx(expected)


def test_a_misspelt_cleaner_is_refused_with_those_that_there_are(newcomer: Clone, undisturbed: Path, tmp_path: Path) -> None:
    params = newcomer.path / "params.yaml"
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("kind: length", "kind: lenght"), encoding="utf-8")
    paths = [f"sources={undisturbed}", f"output={tmp_path}/o", f"record={tmp_path}/r"]
    words = [sys.executable, "-m", "components", "clean", *paths]
    done = subprocess.run(
        words, cwd=newcomer.path, env=newcomer.environment(), capture_output=True, text=True, check=False, timeout=120
    )
    params.write_text(text, encoding="utf-8")
    assert done.returncode == 1
    assert "'swallow', 'passthrough', 'length'" in done.stderr
    assert "Traceback" not in done.stderr
