"""Rooms know only what they may: the scheduler of a site is chosen in one place."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHOOSING = ROOT / "infra/site_scheduler.py"


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def words(path: Path) -> set[str]:
    """Names and texts of the code itself, without comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    texts = {str(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose}
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return texts | {token.string for token in tokens if token.type == tokenize.NAME}


def knows_slurm(path: Path) -> bool:
    return any(name == "infra.slurm" or name.startswith(("infra.slurm.", "infra.sites.slurm")) for name in imported(path))


@pytest.mark.parametrize("folder", ["components", "flows"])
def test_no_component_and_no_flow_knows_a_scheduler_by_name(folder: str) -> None:
    assert [str(path.relative_to(ROOT)) for path in modules(folder) if knows_slurm(path)] == []


def test_one_module_alone_chooses_the_scheduler_of_a_site() -> None:
    own = {*modules("infra/slurm"), ROOT / "infra/sites/__init__.py"}
    assert [path for path in modules("infra") if path not in own and knows_slurm(path)] == [CHOOSING]


def test_what_is_true_of_any_scheduler_says_no_word_of_slurms() -> None:
    """But in docstrings, as an example."""
    own = ("slurm", "sbatch", "srun", "scancel", "scontrol", "squeue")
    found = {
        (path.name, word) for path in modules("infra/scheduler") if path != CHOOSING
        for word in words(path) if any(name in word.lower() for name in own)
    }  # fmt: skip
    assert found == set()
