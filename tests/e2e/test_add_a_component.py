"""The two examples of docs/how-to/add-a-component.md run where anything runs: on this machine, and as jobs of a cluster."""

import json
from pathlib import Path

import pytest

from components.formats.digests import digest_path
from infra.deploy.cluster.cluster import Cluster
from tests.e2e.conftest import Clone, make_clone, outcomes
from tests.support.builders.tiny_recipe import add_tiny
from tests.support.how_to import files_of

CLEANER = "components/clean/length.py"
REGISTRY = "components/params.py"
BEFORE, LISTED = "SwallowCleaner | PassthroughCleaner,", "SwallowCleaner | PassthroughCleaner | LengthCleaner,"
IMPORT = "from components.clean.length import LengthCleaner\n"
AFTER = "from components.clean.passthrough"
LENGTH = {"kind": "length", "version": 1, "heldout_fraction": 0.2, "minimum_characters": 400}
WSD = {"kind": "wsd", "decay_steps": 4, "shape": "one_minus_sqrt"}
SAME = ("collect", "clean", "pack_base", "pack")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Clone:
    """A clone with one file and one line more, and a recipe that asks for both examples."""
    clone = make_clone(tmp_path_factory.mktemp("newcomer"), downloads)
    (clone.path / CLEANER).write_text(files_of("add-a-component.md")[CLEANER], encoding="utf-8")
    registry = clone.path / REGISTRY
    text = registry.read_text(encoding="utf-8")
    assert text.count(BEFORE) == 1
    text = text.replace(BEFORE, LISTED).replace(AFTER, IMPORT + AFTER)
    registry.write_text(text, encoding="utf-8")
    add_tiny(clone, replaced={"clean": LENGTH}, train={"schedule": WSD})
    return clone


def release_of(clone: Clone, **environment: str) -> Path:
    done = clone.run("run", "tiny", **environment)
    assert done.returncode == 0, done.stdout
    assert set(outcomes(done.stdout).values()) == {"ran"}
    return clone.workspace(done.stdout) / "artifacts"


def rates(artifacts: Path) -> list[float]:
    lines = (artifacts / "train/losses.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["learning_rate"] for line in lines]


def test_a_cleaner_and_a_schedule_of_a_newcomer_run_here_and_on_a_cluster(
    newcomer: Clone, cluster: Cluster, tmp_path: Path
) -> None:
    here = release_of(newcomer)
    counts = json.loads((here / "clean/counts.json").read_text(encoding="utf-8"))
    assert list(counts["rejected"]) == ["no_text_response", "no_text", "minimum_characters"]
    assert counts["rejected"]["minimum_characters"] > 0
    found = rates(here)
    assert found[2:9] == [max(found)] * 7, "stable until the last four steps"
    assert found[9] < max(found)

    (tmp_path / "home").mkdir()
    (tmp_path / "home/downloads").symlink_to((newcomer.home / "downloads").readlink())
    elsewhere = Clone(newcomer.path, tmp_path / "home")
    there = release_of(elsewhere, MARTLET_SITE="slurm-dev", **cluster.environment())
    assert {stage: digest_path(there / stage) for stage in SAME} == {stage: digest_path(here / stage) for stage in SAME}
    assert rates(there) == found
    record = json.loads((there / "records/clean/record.json").read_text(encoding="utf-8"))
    assert record["usage"]["starts"] == 1, "its ranks were a job's"
    assert (there / "records/clean/job/job.sbatch").exists()


def test_a_misspelt_cleaner_is_refused_with_those_that_there_are(newcomer: Clone) -> None:
    done = newcomer.run("run", "tiny", "--set", "clean.kind=lenght")
    assert done.returncode == 1
    assert "'swallow', 'passthrough', 'length'" in done.stdout
