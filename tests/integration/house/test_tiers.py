"""The tiers of tests: what each of the Makefile's targets selects, and that the shards of a night leave nothing out."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.workers import group_of, parse_shard, shard

pytestmark = pytest.mark.quick
ROOT = Path(__file__).parents[3]
MARKS = {
    "unit/test_a.py": None, "integration/test_b.py": "quick", "integration/test_c.py": None, "integration/test_d.py": "long",
    "e2e/test_e.py": "long",
}  # fmt: skip
"""Of the one test of each file in a small tree of tests."""
TARGETS = ("test-quick", "test", "test-long", "test-long SHARD=1/2", "test-long SHARD=2/2", "test-long SHARD=3/3")
NOTHING = "-m quick tests/e2e"
SEVERAL = """
import json, os, sys
import pytest
from tests import conftest

class Selected:
    def pytest_collection_finish(self, session):
        self.files = [item.nodeid.split("::")[0].removeprefix("tests/") for item in session.items]

answers, output = [], sys.stdout
sys.stdout = sys.stderr
for folder, arguments in json.load(sys.stdin):
    os.chdir(folder)
    selected = Selected()
    selected.files = []
    code = pytest.main([*arguments, "--collect-only", "--assert=plain", "--rootdir", folder], plugins=[conftest, selected])
    answers.append([int(code), selected.files])
json.dump(answers, output)
"""
"""Pytest again and again in one process, which starts in seconds; what each selected."""


@dataclass(frozen=True)
class Ended:
    code: int
    files: list[str]
    """Whose tests were selected; once for each test."""


def commands(target: str) -> list[list[str]]:
    """The arguments of each pytest that a target of the Makefile starts."""
    command = ["make", "--dry-run", *target.split(" ")]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [shlex.split(line)[1:] for line in printed.splitlines() if line.split(" ")[0].endswith("/pytest")]


def write_tests(folder: Path, marks: dict[str, str | None]) -> Path:
    """A tree of tests, one in each file, marked so."""
    for name, mark in marks.items():
        path = folder / "tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        marked = f"@pytest.mark.{mark}\n" if mark else ""
        path.write_text(f"import pytest\n\n\n{marked}def test_it() -> None:\n    pass\n", encoding="utf-8")
    return folder


def run(*calls: tuple[Path, list[str]]) -> tuple[list[Ended], str]:
    """Pytest in each of these folders, with the project's configuration and conftest; and all that was printed."""
    asked = [(str(folder), ["-c", str(ROOT / "pyproject.toml"), *arguments]) for folder, arguments in calls]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL], input=json.dumps(asked), env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Ended(*answer) for answer in json.loads(done.stdout)], done.stderr


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Ended]]:
    """How the commands of each target end in the small tree, and one that selects nothing there."""
    tree = write_tests(tmp_path_factory.mktemp("tree"), MARKS)
    calls = [(target, arguments) for target in TARGETS for arguments in commands(target)] + [(NOTHING, NOTHING.split(" "))]
    answers, _ = run(*((tree, arguments) for _, arguments in calls))
    found: dict[str, list[Ended]] = {name: [] for name, _ in calls}
    for (target, _), answer in zip(calls, answers, strict=True):
        found[target].append(answer)
    return found


def files_of(ended: list[Ended]) -> list[str]:
    return sorted(file for each in ended for file in each.files)


def test_quick_is_a_part_of_test_and_test_and_long_are_everything(ended: dict[str, list[Ended]]) -> None:
    assert files_of(ended["test-quick"]) == ["integration/test_b.py", "unit/test_a.py"]
    assert files_of(ended["test"]) == ["integration/test_b.py", "integration/test_c.py", "unit/test_a.py"]
    assert files_of(ended["test-long"]) == ["e2e/test_e.py", "integration/test_d.py"]
    assert {each.code for name in ("test-quick", "test", "test-long") for each in ended[name]} == {pytest.ExitCode.OK}


def test_the_shards_of_the_long_tier_are_its_parts(ended: dict[str, list[Ended]]) -> None:
    assert files_of(ended["test-long SHARD=1/2"]) == ["e2e/test_e.py"]
    assert files_of(ended["test-long SHARD=2/2"]) == ["integration/test_d.py"]


def test_a_tier_or_a_shard_that_selects_no_test_fails(ended: dict[str, list[Ended]]) -> None:
    assert ended["test-long SHARD=3/3"] == ended[NOTHING] == [Ended(pytest.ExitCode.NO_TESTS_COLLECTED, [])]
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "/pytest" in line and re.search(r"[|;&]|^\t[-@]", line)], "its exit code is make's"


def test_what_is_quick_cannot_be_long(tmp_path: Path) -> None:
    ((found,), said) = run((write_tests(tmp_path, {"unit/test_a.py": "long"}), ["tests"]))
    assert found.code == pytest.ExitCode.USAGE_ERROR
    assert "tests/unit/test_a.py::test_it is quick and long" in said


# the shards


FILES = ("e2e/test_smoke", "e2e/test_form", "e2e/test_trace", "integration/test_a", "unit/clean/test_a", "unit/test_b")
nodeids = st.builds(lambda file, test: f"tests/{file}.py::test_{test}", st.sampled_from(FILES), st.integers(0, 9))


@given(st.lists(nodeids, unique=True), st.integers(1, 6))
def test_shards_are_disjoint_and_together_everything(tests: list[str], number: int) -> None:
    shards = [shard(tests, each, number) for each in range(1, number + 1)]
    assert sorted(test for each in shards for test in each) == sorted(tests)
    assert len([each for each in shards if each]) == min(number, len({group_of(test) for test in tests}))
    for each in shards:
        assert {test for test in tests if group_of(test) in {group_of(other) for other in each}} == each


def test_tests_that_look_at_one_clone_stay_together() -> None:
    clone = {"tests/e2e/test_form.py::test_a[tests/x]", "tests/e2e/test_trace.py::test_b"}
    others = {"tests/e2e/test_smoke.py::test_c", "tests/unit/test_d.py::test_e"}
    shards = [shard(sorted(clone | others), number, 3) for number in (1, 2, 3)]
    assert clone in shards


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/4", "a/b"])
def test_a_shard_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not K/N"):
        parse_shard(text)


def test_the_nightly_workflow_runs_every_shard_and_none_is_empty() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text(encoding="utf-8"))["jobs"]
    shards = jobs["long"]["strategy"]["matrix"]["shard"]
    (command,) = [step["run"] for step in jobs["long"]["steps"] if "make" in step.get("run", "").split(" ")[0]]
    assert command == f"make test-long SHARD=${{{{ matrix.shard }}}}/{len(shards)}"
    assert shards == list(range(1, len(shards) + 1))
    paths = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    long = [path for path in paths if "pytest.mark.long" in path.read_text(encoding="utf-8")]
    assert len({group_of(str(path.relative_to(ROOT))) for path in long}) >= len(shards)
