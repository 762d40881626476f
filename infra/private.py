"""Keeps what is written below the state folder from this machine's other users."""

import os
import stat
from pathlib import Path

from components.errors import ServiceError

OTHERS = 0o077


def keep_private(home: Path) -> None:
    """From here on, what this process and its children create is for their owner alone, and so is a state folder that is there.

    Closed at its top, it is closed as a whole, whatever the modes below. Raises `ServiceError` if it cannot be closed.
    """
    os.umask(OTHERS)
    refuse_file(home)
    try:
        if home.exists() and is_open(home):
            home.chmod(0o700)
        still_open = home.exists() and is_open(home)
    except PermissionError:
        still_open = True
    if still_open:
        raise ServiceError(
            f"{home} cannot be closed to other users of this machine: it is another user's, or its disk has no modes. "
            "Set MARTLET_HOME to a folder of your own; a state folder has one user."
        )


def is_open(folder: Path) -> bool:
    """Whether a folder's modes let its group or others in."""
    return bool(stat.S_IMODE(folder.stat().st_mode) & OTHERS)


def refuse_file(home: Path) -> None:
    """Raises `ServiceError` if the state folder, or a folder above it, is something else."""
    above = next(path for path in (home.absolute(), *home.absolute().parents) if os.path.lexists(path))
    if not above.is_dir():
        raise ServiceError(f"MARTLET_HOME is {home}, but {above} is not a folder. Set it to where a folder is or can be made.")


def make_private(home: Path) -> None:
    """Makes the state folder, for its owner alone, if there is none. Raises `ServiceError` if there cannot be one."""
    refuse_file(home)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileNotFoundError as error:  # in a file system that takes no folders, such as /proc
        raise ServiceError(
            f"there can be no state folder {home} ({error.strerror}). Set MARTLET_HOME to where a folder can be made."
        ) from None
