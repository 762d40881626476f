"""Keeps what is written below the state folder from this machine's other users."""

import os
import stat
from pathlib import Path

from components.errors import ServiceError

OTHERS = 0o077


def write_privately() -> None:
    """From here on, what this process and its children create is for their owner alone."""
    os.umask(OTHERS)


def close_to_others(home: Path) -> None:
    """Takes a state folder that is there already from group and others, and so what lies below it, whatever its modes.

    Raises `ServiceError` if the folder is another user's, or on a disk that keeps no modes.
    """
    try:
        if not stat.S_IMODE(home.stat().st_mode) & OTHERS:
            return
        home.chmod(0o700)
    except FileNotFoundError:
        return
    except PermissionError:
        pass
    if stat.S_IMODE(home.stat().st_mode) & OTHERS:
        raise ServiceError(
            f"other users of this machine can reach {home}, and it cannot be closed to them: it is another user's, or on a disk "
            "without modes. Set MARTLET_HOME to a folder of your own; users share results by a remote, not by a state folder."
        )
