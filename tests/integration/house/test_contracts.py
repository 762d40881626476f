"""The contracts of `pyproject.toml`: imports go down and in no circle, and each contract refuses what breaks it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.house.test_house import ROOT, modules

pytestmark = pytest.mark.quick

LATE = "def late() -> None:\n    from components.tokenizers.load import load_tokenizer"
"""In a function, where Python lets it pass."""
REFUSED = (
    ("components/tokenizers/tokenizer.py", LATE, "No cycles are allowed in components.tokenizers."),
    ("infra/settings.py", "import infra.scratch", "No cycles are allowed in infra."),
    ("components/base/site.py", "import components.formats.files", "base is not allowed to import components.formats"),
    ("components/pack/mixture.py", "import components.train.flops", "pack is not allowed to import components.train"),
    ("components/attic.py", "", "not listed as layers: - components.attic"),
    ("components/data/batches.py", "import infra.git", "components is not allowed to import infra"),
    ("flows/display.py", "import components.context", "flows is not allowed to import components.context"),
    ("infra/disk.py", "import components.params", "infra is not allowed to import components"),
)
"""A module, what is added to it, and the contract's words."""
FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import components.models.folder"


def lint(folder: Path) -> tuple[int, str]:
    """The exit code of import-linter on the packages of a folder, and its words on one line."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False)
    return done.returncode, " ".join(done.stdout.split())


@pytest.fixture(scope="module")
def whole() -> tuple[int, str]:
    """What import-linter says of the house as it stands."""
    return lint(ROOT)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    """What it says of a copy with every import that is refused, and with one that is not."""
    copy = tmp_path_factory.mktemp("house")
    for path in (*modules(), ROOT / "pyproject.toml"):
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for module, lines, _ in (*REFUSED, ("components/models/safetensors_stream.py", FOR_TYPES, "")):
        with (copy / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{lines}\n")
    return lint(copy)


def test_the_house_keeps_its_contracts(whole: tuple[int, str]) -> None:
    code, words = whole
    assert code == 0, words


@pytest.mark.parametrize("words", [words for _, _, words in REFUSED])
def test_an_import_that_goes_up_or_in_a_circle_is_refused(
    words: str, whole: tuple[int, str], broken: tuple[int, str]
) -> None:
    assert broken[0] != 0
    assert words in broken[1]
    assert words not in whole[1]


def test_an_import_for_type_checkers_alone_is_no_circle(broken: tuple[int, str]) -> None:
    assert "No cycles are allowed in components.models." not in broken[1]
