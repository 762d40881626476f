"""Scratch folders, which keep checkpoints for a retry until the run is sealed: one per fingerprint, one process at a time."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.settings import Settings

WARM_START_KEY = "warm_start_key"
"""The file that says for which other folders this one may be a warm start (`components.records.warm_start_key`)."""


def scratch_of(settings: Settings, fingerprint: str) -> Path:
    """The folder of a stage with exactly these parameters and inputs, in whichever run."""
    return settings.checkpoints / fingerprint[:16]


def warm_start_candidates(settings: Settings, scratch: Path, key: str) -> tuple[Path, ...]:
    """The other folders that were marked with this key, by name."""
    found = (path.parent for path in settings.checkpoints.glob(f"*/{WARM_START_KEY}") if has_warm_start_key(path, key))
    return tuple(sorted(folder for folder in found if folder != scratch))


def has_warm_start_key(path: Path, key: str) -> bool:
    """Whether the file at `path` holds this key; the folder around it may be removed at any moment."""
    try:
        return path.read_text(encoding="ascii") == key
    except FileNotFoundError:
        return False


def write_warm_start_key(scratch: Path, key: str) -> None:
    """Lets others find the folder as a candidate; only the process that holds the folder may call this."""
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / WARM_START_KEY).write_text(key, encoding="ascii")


@contextmanager
def held(scratch: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the folder during the block; waits if another run computes the same, and says so."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with scratch.with_suffix(".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run computes exactly this; waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def discard(scratch: Path) -> None:
    """Removes the folder, if there is one, unless a process holds it."""
    if not scratch.parent.exists():
        return  # nothing was computed on this machine
    with scratch.with_suffix(".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(scratch, ignore_errors=True)
