"""A run travels: a second machine, a colleague with DVC alone, and a machine that goes on where another stopped."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components.params import STAGES
from infra import git
from tests.e2e.conftest import Clone, outcomes
from tests.support.builders.elsewhere import another, digests
from tests.support.builders.tiny_recipe import add_tiny
from tests.support.object_store import ObjectStore, object_store

__all__ = ["object_store"]  # a fixture of the tests here


@pytest.fixture
def remote(object_store: ObjectStore) -> dict[str, str]:
    return {**object_store.environment(), "MARTLET_REMOTE": f"s3://{object_store.new_bucket()}/team"}


def test_a_run_that_is_there_already_is_restored_pulled_and_read_by_dvc_alone(
    tiny: Clone, undisturbed: Path, object_store: ObjectStore, remote: dict[str, str], tmp_path: Path
) -> None:
    refused = tiny.run("run", "tiny", **{**remote, "AWS_SECRET_ACCESS_KEY": "wrong"})
    assert refused.returncode == 1
    assert "it refuses these keys" in refused.stdout
    assert "Traceback" not in refused.stdout
    bucket, tags = remote["MARTLET_REMOTE"].split("/")[2], git.tags_at(tiny.path, "run/*")
    object_store.limit(bucket, objects=3)
    full = tiny.run("run", "tiny", **remote)
    assert full.returncode == 1
    assert "it is full (QuotaExceeded). Free some space there" in full.stdout
    assert "Traceback" not in full.stdout
    assert git.tags_at(tiny.path, "run/*") == tags, "what is not there is not sealed"
    object_store.limit(bucket, objects=-1)
    sent = tiny.run("run", "tiny", **remote)
    assert sent.returncode == 0, sent.stdout
    assert set(outcomes(sent.stdout).values()) == {"unchanged"}
    tag = sent.stdout.split("sealed as ")[1].split()[0]
    assert "nothing to do" in tiny.run("run", "tiny", **remote).stdout

    second = another(tiny, tmp_path / "second")
    taken = second.run("run", "tiny", **remote)
    assert taken.returncode == 0, taken.stdout
    assert "ran" not in outcomes(taken.stdout).values()
    assert len(outcomes(taken.stdout)) == len(STAGES)
    assert f"sealed as {tag}" in taken.stdout
    assert digests(second.workspace(taken.stdout)) == digests(undisturbed)
    assert git.object_of(second.path, f"refs/tags/{tag}") == git.object_of(tiny.path, f"refs/tags/{tag}")
    assert "nothing to do" in second.run("run", "tiny", **remote).stdout

    third = another(tiny, tmp_path / "third")
    unknown = third.run("pull", "swallow", **remote)
    assert unknown.returncode == 1
    assert f"there is no sealed run 'swallow' on {remote['MARTLET_REMOTE']}. There are: {undisturbed.name}." in unknown.stdout
    pulled = third.run("pull", "tiny", **remote)
    assert pulled.returncode == 0, pulled.stdout
    assert digests(third.workspace(pulled.stdout)) == digests(undisturbed)
    assert tag in third.run("status").stdout

    git.git("checkout", "--quiet", tag, cwd=third.path)
    (third.path / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {tmp_path / 'site'}\n")
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "pull", "--quiet"], cwd=third.path, env=third.environment(**remote, DVC_NO_ANALYTICS="1"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert digests(third.path) == digests(undisturbed)
    tree = "".join(git.read_file(third.path, tag, name).decode() for name in (".dvc/config", "summary.md", "dvc.lock"))  # type: ignore[union-attr]
    assert remote["MARTLET_REMOTE"] in tree
    assert not [value for name, value in remote.items() if name.startswith("AWS_") and "KEY" in name and value in tree]


@pytest.mark.long
def test_what_stopped_after_expand_ends_on_another_machine_and_then_on_the_first_with_the_same_bytes(
    new_clone: Callable[[str], Clone], undisturbed: Path, object_store: ObjectStore, remote: dict[str, str], tmp_path: Path
) -> None:
    first = new_clone("first")
    add_tiny(first)
    second = another(first, tmp_path / "second")
    (second.home / "downloads").symlink_to((first.home / "downloads").resolve())
    process = first.start("run", "tiny", **remote)
    while not list(first.home.glob("runs/*/artifacts/records/pack/record.json")):
        assert process.poll() is None, process.communicate()[0]
    process.send_signal(2)
    process.communicate()

    ended = second.run("run", "tiny", **remote)
    assert ended.returncode == 0, ended.stdout
    found = outcomes(ended.stdout)
    assert [found[stage] for stage in STAGES[: STAGES.index("expand") + 1]] == ["restored"] * (STAGES.index("expand") + 1)
    assert found["train"] == "ran"
    again = first.run("run", "tiny", **remote)
    assert again.returncode == 0, again.stdout
    assert "ran" not in outcomes(again.stdout).values()
    tag = ended.stdout.split("sealed as ")[1].split()[0]
    assert f"sealed as {tag}" in again.stdout, "the second machine's seal is the run's"
    assert git.object_of(first.path, f"refs/tags/{tag}") == git.object_of(second.path, f"refs/tags/{tag}")
    assert digests(first.workspace(again.stdout)) == digests(second.workspace(ended.stdout))
