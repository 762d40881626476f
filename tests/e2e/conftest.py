"""A fresh clone of the project as it stands, and the command run in it as a newcomer would."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra import git
from tests.support.cluster import cluster

__all__ = ["cluster"]  # a fixture of the tests here

ROOT = Path(__file__).parents[2]


@dataclass
class Clone:
    """A clone with state of its own."""

    path: Path
    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        own = {"MARTLET_HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"}
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "MARTLET_"))}
        return {**plain, **own, **more}

    def start(self, *arguments: str, **more: str) -> "subprocess.Popen[str]":
        """Starts `martlet …` from this clone's code."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows", *arguments], cwd=self.path, env=self.environment(**more), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509  (it takes no lock)
        )

    def run(self, *arguments: str, timeout: int = 900, **more: str) -> "subprocess.CompletedProcess[str]":
        """Runs `martlet …` to its end; standard output and error together."""
        process = self.start(*arguments, **more)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, output, "")

    def workspace(self, output: str) -> Path:
        """The worktree of the run that printed this summary."""
        release = output.rsplit("release: ", 1)[1].strip()
        return Path(release).parents[1]

    @property
    def workspaces(self) -> list[Path]:
        """The worktrees of its runs."""
        return sorted(p for p in (self.home / "runs").glob("*") if p.is_dir())


def listen_to_ctrl_c() -> None:
    """As on a terminal: where the tests run in the background, their children would inherit that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def outcomes(output: str) -> dict[str, str]:
    """Stage and outcome, from the summary's table."""
    rows = re.findall(r"^│ (\w+)\s+│ (ran|restored|unchanged)\s+│", output, flags=re.MULTILINE)
    return dict(rows)


def make_clone(folder: Path, downloads: Path) -> Clone:
    """A clone of the tree as it stands, uncommitted edits included, and a home for it that has fetched packages alone."""
    path = folder / "clone"
    git.git("clone", "--quiet", "--no-checkout", str(ROOT), str(path), cwd=folder)
    git.git("push", "--quiet", str(path), f"{git.snapshot(ROOT)}:refs/heads/as-it-stands", cwd=ROOT)
    git.git("checkout", "--quiet", "as-it-stands", cwd=path)
    home = folder / "home"
    home.mkdir()
    (home / "downloads").symlink_to(downloads)
    return Clone(path, home)


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all workers of the session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def downloads(session_folder: Path) -> Path:
    """Fetched packages, shared by every clone of the session: the registries are asked once."""
    folder = session_folder / "downloads"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def tiny_line(session_folder: Path, downloads: Path) -> tuple[Clone, Path]:
    """A clone in which the tiny recipe ran, and that run's workspace: made by the worker that comes first."""
    from tests.support.builders.tiny_recipe import add_tiny

    folder, made = session_folder / "tiny", session_folder / "tiny.json"
    with (session_folder / "tiny.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return Clone(folder / "clone", folder / "home"), Path(json.loads(made.read_text()))
        folder.mkdir()
        clone = make_clone(folder, downloads)
        add_tiny(clone)
        done = clone.run("run", "tiny")
        assert done.returncode == 0, done.stdout
        made.write_text(json.dumps(str(clone.workspace(done.stdout))))
    return clone, clone.workspace(done.stdout)


@pytest.fixture(scope="session")
def tiny(tiny_line: tuple[Clone, Path]) -> Clone:
    """A clone with a cache to start from; tests leave runs of their own in it, and are of one worker."""
    return tiny_line[0]


@pytest.fixture(scope="session")
def undisturbed(tiny_line: tuple[Clone, Path]) -> Path:
    """The workspace of the tiny recipe's first run, which nothing interrupted: what others are compared with, on any worker."""
    return tiny_line[1]


@pytest.fixture
def new_clone(tmp_path: Path, downloads: Path) -> Callable[[str], Clone]:
    """Makes clones that share nothing but the fetched packages."""

    def make(name: str) -> Clone:
        folder = tmp_path / name
        folder.mkdir()
        return make_clone(folder, downloads)

    return make
