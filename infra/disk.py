"""Recognises that a disk takes nothing more, wherever it is that Martlet writes, and says so first."""

import tempfile
from pathlib import Path

from components.errors import MartletError, ResourceError
from components.formats.disk import disk_refusal, first_trouble, says_so, trouble_behind
from infra.settings import Settings


def written_places(settings: Settings) -> list[Path]:
    """The folders that a run writes to; each may be a mount of its own."""
    own = [settings.home.absolute(), settings.cache, settings.checkpoints, settings.downloads, settings.runs]
    return [Path.cwd(), *own, Path(tempfile.gettempdir())]


def disk_error(error: BaseException, settings: Settings) -> ResourceError | None:
    """The error about a disk that an error comes from; None if every disk takes what is written, or it says so already.

    A library's error, or a message of another process, may not tell what it comes from: then the disks are tried.
    """
    if says_so(str(error)):
        return None
    places = written_places(settings)
    trouble = trouble_behind(error, places) or first_trouble(places)
    return disk_refusal(trouble) if trouble else None


def user_message(error: BaseException, settings: Settings) -> str | None:
    """The message of an error that a user can repair; None for any other error, which is the program's own.

    If a disk takes nothing more, that comes first, since it is then the reason for the failure.
    """
    found = disk_error(error, settings)
    if not isinstance(error, MartletError):
        return str(found) if found else None
    return f"{found} What failed first: {error}" if found else str(error)
