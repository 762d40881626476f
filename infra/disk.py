"""A full disk, in words."""

import errno
import shutil
from pathlib import Path

from components.errors import ResourceError

ALMOST_NOTHING_BYTES = 1 << 20


def is_full(folder: Path) -> bool:
    """True where next to nothing can be written below `folder` any more."""
    return shutil.disk_usage(folder).free < ALMOST_NOTHING_BYTES


def full_disk(where: Path) -> ResourceError:
    """The error that names the place and the ways out."""
    return ResourceError(
        f"the disk is full: no space left below {where}. Free some (old runs and checkpoints lie below MARTLET_HOME, by "
        "default .martlet/), or set MARTLET_HOME to a folder on a larger disk, and start again."
    )


def means_full_disk(error: BaseException) -> bool:
    """True for the operating system's own error."""
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def with_full_disk(message: str, folder: Path) -> str:
    """The message; where the disk of `folder` is full, that first, for whatever failed on it failed for that reason."""
    words = str(full_disk(folder))
    if not is_full(folder) or words in message:
        return message
    return f"{words} What failed first: {message}"
