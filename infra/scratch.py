"""Where checkpoints survive a retry: one folder a fingerprint, used by one process at a time, removed when a run is sealed."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.settings import Settings


def scratch_of(settings: Settings, fingerprint: str) -> Path:
    """The folder of a stage with these very parameters and inputs, in whichever run."""
    return settings.checkpoints / fingerprint[:16]


@contextmanager
def held(scratch: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the folder for the block; waits for another run that computes the same, and says so."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with scratch.with_suffix(".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run computes exactly this; waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def discard(scratch: Path) -> None:
    """Removes the folder, unless somebody works in it."""
    with scratch.with_suffix(".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(scratch, ignore_errors=True)
