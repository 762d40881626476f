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
