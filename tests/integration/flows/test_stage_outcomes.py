"""DVC's three outcomes are told apart, and a failing stage's own words come through."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from flows.results.torn_files import remove_torn_files
from infra import git

pytestmark = pytest.mark.quick

PIPELINE = """
stages:
  make:
    cmd: python -c "import pathlib; pathlib.Path('out').mkdir(); pathlib.Path('out/x').write_text('1')"
    params: [make]
    outs: [out]
  fail:
    cmd: python -c "import pathlib; pathlib.Path('journal/fail.error').write_text('no rice left'); raise SystemExit(1)"
    params: [make]
    outs: [other]
  sleep:
    cmd: python -c "import os, pathlib, time; pathlib.Path('journal/pid').write_text(str(os.getpid())); time.sleep(300)"
    params: [make]
    outs: [third]
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git.git("init", "--quiet", cwd=tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(f"[core]\n    analytics = false\n    site_cache_dir = {tmp_path / 'site'}\n")
    (tmp_path / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (tmp_path / "params.yaml").write_text("make: 1\n", encoding="utf-8")
    (tmp_path / "journal").mkdir()
    return tmp_path


def start(repository: Path, stage: str, pipe: int = 1) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "flows.stage", stage, str(pipe)], cwd=repository, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(pipe,),
    )


def outcome(repository: Path, stage: str) -> dict[str, str]:
    receive, send = os.pipe()
    child = start(repository, stage, send)
    os.close(send)
    with os.fdopen(receive) as pipe:
        child.wait(60)
        result: dict[str, str] = json.loads(pipe.read())
    return result


def test_ran_then_unchanged_then_restored_from_the_cache(repository: Path) -> None:
    assert outcome(repository, "make")["outcome"] == "ran"
    assert outcome(repository, "make")["outcome"] == "unchanged"
    (repository / "out" / "x").unlink()
    assert outcome(repository, "make")["outcome"] == "restored"
    assert (repository / "out" / "x").read_text() == "1"


def test_what_a_killed_process_left_half_written_is_made_anew(repository: Path) -> None:
    assert outcome(repository, "make")["outcome"] == "ran"
    lock, busy = repository / "dvc.lock", repository / ".dvc/tmp/rwlock"
    whole = lock.read_text(encoding="utf-8")
    for torn, read in (("", ""), (whole[:20], '{"write": {}, "re'), (whole[:-40], '{"read": 3}')):
        lock.write_text(torn, encoding="utf-8")
        busy.write_text(read, encoding="utf-8")
        repo = Repo(str(repository))
        remove_torn_files(repo)
        repo.close()
        assert outcome(repository, "make")["outcome"] in ("unchanged", "restored")
        assert yaml.safe_load(lock.read_text(encoding="utf-8")) == yaml.safe_load(whole)
        assert isinstance(json.loads(busy.read_text(encoding="utf-8")), dict)


def test_files_that_another_process_may_be_writing_are_left_alone(repository: Path) -> None:
    assert outcome(repository, "make")["outcome"] == "ran"
    busy, repo, other = repository / ".dvc/tmp/rwlock", Repo(str(repository)), Repo(str(repository))
    with other.lock:
        busy.write_text("", encoding="utf-8")
        remove_torn_files(repo)
    assert busy.exists()
    remove_torn_files(repo)
    assert not busy.exists()


def test_a_failing_stage_says_its_own_words(repository: Path) -> None:
    result = outcome(repository, "fail")
    assert result["outcome"] == "failed"
    assert result["error"] == "no rice left"


def test_sigterm_takes_the_stages_process_along(repository: Path) -> None:
    child = start(repository, "sleep")
    pid_file = repository / "journal" / "pid"
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pid = int(pid_file.read_text())
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) != 0
    assert not alive(pid)


def alive(pid: int) -> bool:
    """A process that runs; one that ended but was not collected yet by its parent does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
