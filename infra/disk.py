"""Recognises a full disk, and turns it into an error that names the ways out."""

import errno
import shutil
from pathlib import Path

from components.errors import ResourceError

ALMOST_NOTHING_BYTES = 1 << 20


def is_full(folder: Path) -> bool:
    """True if almost nothing more can be written below `folder`."""
    return shutil.disk_usage(folder).free < ALMOST_NOTHING_BYTES


def full_disk(where: Path) -> ResourceError:
    """The error for a full disk: names the place and the ways out."""
    return ResourceError(
        f"the disk is full: no space left below {where}. Free some (old runs and checkpoints lie below MARTLET_HOME, by "
        "default .martlet/), or set MARTLET_HOME to a folder on a larger disk, and start again."
    )


def means_full_disk(error: BaseException) -> bool:
    """True for the operating system's own error about a full disk."""
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def with_full_disk(message: str, folder: Path) -> str:
    """The message; if the disk of `folder` is full, that comes first, since it is then the reason for the failure."""
    words = str(full_disk(folder))
    if not is_full(folder) or words in message:
        return message
    return f"{words} What failed first: {message}"
