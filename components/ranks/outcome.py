"""How a stage's ranks ended, in two small files: whether they are done, and what the user gave that they refused."""

import sys
from pathlib import Path

from components.base.fields import Fields
from components.errors import InputError, MartletError
from components.formats.files import write_text

MARK = "@refusal "


class Outcome(Fields):
    """How the ranks ended; the file is absent if one died."""

    finished: bool
    signal: str | None
    """The name of the signal that stopped them."""
    done: int | None = None
    """How many units of the work were done by then, if the stage counts any: a training's updates."""

    def write(self, path: Path) -> None:
        """Replaces the file."""
        write_text(path, self.model_dump_json())


def read_outcome(path: Path) -> Outcome | None:
    """How the last ranks ended; None if they left no outcome."""
    return Outcome.model_validate_json(path.read_bytes()) if path.exists() else None


class Refusal(Fields):
    """A failure that is the user's to mend, as a rank met it."""

    error: str
    """The name of its class."""
    message: str


def write_refusal(path: Path, error: MartletError) -> None:
    """Writes the error into the file; on a full disk it is printed as a line, which whoever started the rank has in memory."""
    refusal = Refusal(error=type(error).__name__, message=str(error)).model_dump_json()
    try:
        write_text(path, refusal)
    except OSError:
        sys.stderr.write(f"{MARK}{refusal}\n")
        sys.stderr.flush()


def raise_refusal(path: Path, printed: str = "") -> None:
    """Raises the error that a rank wrote into the file, or else as a line among those that it printed, if one did.

    It is an `InputError` if its class is not known here.
    """
    lines = [line.removeprefix(MARK) for line in printed.splitlines() if line.startswith(MARK)]
    if path.exists() or lines:
        refusal = Refusal.model_validate_json(path.read_bytes() if path.exists() else lines[-1])
        raise error_classes().get(refusal.error, InputError)(refusal.message)


def error_classes() -> dict[str, type[MartletError]]:
    """Every class of the error tree, by name."""
    found: dict[str, type[MartletError]] = {}
    queue: list[type[MartletError]] = [MartletError]
    while queue:
        each = queue.pop()
        found[each.__name__] = each
        queue += each.__subclasses__()
    return found
