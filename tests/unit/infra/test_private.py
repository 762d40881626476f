"""What is written below the state folder is its owner's alone, and a folder that cannot be closed is not used."""

import os
import stat
from pathlib import Path

import pytest

from components.errors import ServiceError
from infra.private import keep_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_afterwards_is_closed_whatever_the_users_umask(tmp_path: Path) -> None:
    os.umask(0)
    keep_private(tmp_path / "later")
    (tmp_path / "later" / "runs").mkdir(parents=True)
    (tmp_path / "later" / "file").touch()
    assert [mode(tmp_path / name) for name in ("later", "later/runs", "later/file")] == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("before", [0o755, 0o2775, 0o777, 0o710, 0o701])
def test_a_state_folder_of_before_is_closed(tmp_path: Path, before: int) -> None:
    tmp_path.chmod(before)
    keep_private(tmp_path)
    assert mode(tmp_path) & 0o777 == 0o700


def test_a_folder_that_cannot_be_closed_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk without modes, where chmod does nothing."""
    tmp_path.chmod(0o777)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    with pytest.raises(ServiceError, match="Set MARTLET_HOME to a folder of your own"):
        keep_private(tmp_path)
