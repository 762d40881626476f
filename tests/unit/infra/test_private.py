"""What is written below the state folder is its owner's alone, and a folder that cannot be closed is not used."""

import os
import stat
from pathlib import Path

import pytest

from components.errors import ServiceError
from infra.private import keep_private, make_private


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


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_file_in_the_place_of_the_state_folder_is_named_and_left_alone(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch(mode=0o644)
    for use in (keep_private, make_private):
        with pytest.raises(ServiceError, match=rf"{tmp_path}/file is not a folder"):
            use(tmp_path / "file" / below)
    assert mode(tmp_path / "file") == 0o644


def test_a_place_that_takes_no_folders_is_one_message() -> None:
    with pytest.raises(ServiceError, match=r"there can be no state folder /proc/martlet .*Set MARTLET_HOME"):
        make_private(Path("/proc/martlet"))
