"""Why a disk takes nothing more, in words: full, out of inodes, quota used up, read-only; with the path and its mount.

A message about a disk must not need a disk: whatever raises it here is printed, or handed on in memory.
"""

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from components.errors import ResourceError, chain_of

PROBE_BYTES = 1 << 20
"""Where less than this can be written, the disk counts as full."""
ALWAYS = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)}
"""Errors that are about a disk, whoever meets them; libraries that raise errors of their own repeat these words."""
WITH_A_PATH = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EFBIG)
"""Errors that are about a disk if the operating system names a file."""
OTHER_WORDS = {"database or disk is full": errno.ENOSPC, "No usable temporary directory": errno.ENOSPC}
"""SQLite's, and those of Python's `tempfile`."""


@dataclass(frozen=True)
class DiskTrouble:
    """The operating system's error, and where it came up."""

    number: int
    path: Path


def trouble_behind(error: BaseException | None, places: Iterable[Path]) -> DiskTrouble | None:
    """The trouble with a disk that an error, or what caused it, tells of; None if it tells of none.

    If it does not say where, that one of `places` is named which takes nothing more, or else the first.
    """
    numbers: list[int] = []
    for each in chain_of(error):
        number = number_of(each)
        if number is None:
            continue
        filename = getattr(each, "filename2", None) or getattr(each, "filename", None)  # a copy names its source first
        if isinstance(filename, str | bytes | os.PathLike):
            return DiskTrouble(number, Path(os.fsdecode(filename)).absolute())
        numbers.append(number)
    if not numbers:
        return None
    places = list(places)
    return first_trouble(places) or DiskTrouble(numbers[0], places[0])


def number_of(error: BaseException) -> int | None:
    """The number of the disk's error that this is, or that its words repeat; None for any other error."""
    number = error.errno if isinstance(error, OSError) else None
    if number in ALWAYS or (number in WITH_A_PATH and getattr(error, "filename", None) is not None):
        return number
    words = {text: number for number, text in ALWAYS.items()} | OTHER_WORDS
    said = str(error)
    return next((number for text, number in words.items() if text in said), None)


def first_trouble(places: Iterable[Path]) -> DiskTrouble | None:
    """The trouble of the first place that takes nothing more now; None if all of them do."""
    return next((trouble for place in places if (trouble := probe(place))), None)


def probe(place: Path) -> DiskTrouble | None:
    """Tries to write a little where `place` is, or would be; None if that works, or if only permission is missing."""
    try:
        with tempfile.TemporaryFile(dir=existing(place)) as stream:
            stream.write(os.urandom(PROBE_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return DiskTrouble(error.errno, place.absolute()) if error.errno in ALWAYS else None
    return None


def existing(path: Path) -> Path:
    """The nearest folder that exists, at or above the path."""
    path = path.absolute()
    while path != path.parent:
        with suppress(OSError):  # of a folder above that may not be searched
            if path.is_dir():
                break
        path = path.parent
    return path


def mount_of(path: Path) -> Path:
    """Where the file system of the path is mounted; bind mounts count (https://man7.org/linux/man-pages/man5/proc.5.html)."""
    place, mounts = existing(path).resolve(), [Path("/")]
    with suppress(OSError), Path("/proc/self/mountinfo").open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            name = line.split(" ")[4]
            for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                name = name.replace(code, character)
            if place.is_relative_to(name):
                mounts.append(Path(name))
    return max(mounts, key=lambda mount: len(mount.parts))


REASONS = {
    errno.ENOSPC: "the disk is full: no space left",
    errno.EDQUOT: "the disk quota is used up: nothing more can be written",
    errno.EROFS: "the disk is read-only: nothing can be written",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EFBIG: "the file is larger than files may be",
    errno.EIO: "the disk fails (input/output error)",
    errno.ESTALE: "the disk fails (stale file handle)",
}
FULL_OF_FILES = "the disk is full: it holds as many files as it can (no inode is left, though bytes are)"
ROOM = "Free some (old runs and checkpoints lie below MARTLET_HOME, by default .martlet/)"
REMEDIES = {
    errno.ENOSPC: f"{ROOM}, or set {{variable}} to a folder on a larger disk",
    errno.EDQUOT: f"{ROOM}, have the quota raised, or set {{variable}} to a folder on another disk",
    errno.EROFS: "Mount it for writing, or set {variable} to a folder on another disk",
    errno.EACCES: "Change its owner or mode, or set {variable} to a folder on which you may write",
    errno.EPERM: "Change its owner or mode, or set {variable} to a folder on which you may write",
    errno.EFBIG: "Raise the limit (`ulimit -f`), or set {variable} to a folder on another disk",
    errno.EIO: "See `dmesg`, or set {variable} to a folder on another disk",
    errno.ESTALE: "Mount it again, or set {variable} to a folder on another disk",
}


def says_so(message: str) -> bool:
    """Whether a message already tells of a disk's trouble in the words of this module."""
    return any(f"{words} at " in message for words in (*REASONS.values(), FULL_OF_FILES))


def reason_of(trouble: DiskTrouble) -> str:
    """What is the matter, at which path and mount."""
    is_out_of_files = trouble.number == errno.ENOSPC and free_bytes_without_inodes(trouble.path)
    reason = FULL_OF_FILES if is_out_of_files else REASONS[trouble.number]
    return f"{reason} at {trouble.path}, on the mount {mount_of(trouble.path)}"


def disk_refusal(trouble: DiskTrouble) -> ResourceError:
    """The error for a disk's trouble: the reason, the path, its mount, and the ways out."""
    remedy = REMEDIES[trouble.number].format(variable=variable_of(trouble.path))
    return ResourceError(f"{reason_of(trouble)}. {remedy}, and start again.")


def free_bytes_without_inodes(path: Path) -> bool:
    """Whether a disk has room for bytes, but for no further file."""
    facts = os.statvfs(existing(path))
    return facts.f_files > 0 and facts.f_favail == 0 and facts.f_bavail * facts.f_frsize > PROBE_BYTES


def variable_of(path: Path) -> str:
    """The variable that moves what lies at the path."""
    home = Path(os.environ.get("MARTLET_HOME", ".martlet")).absolute()
    temporary = os.environ.get("TMPDIR", "/tmp")  # noqa: S108  (as `tempfile` does)
    return "TMPDIR" if path.is_relative_to(temporary) and not path.is_relative_to(home) else "MARTLET_HOME"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an error of the operating system in the block the path, if it has none: a failed write names no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
