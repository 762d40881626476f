"""Files of the download cache, hashed again before each use: what was damaged or replaced meanwhile is fetched anew.

Beside each file lies a note of its SHA-256, `<name>.sha256`, written when the file was fetched and before it got its name.
Whoever can write the note can write the file: this is about disks, copies and accidents, and about other people's files.
"""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from components.errors import SourceMissing
from components.formats.digests import digest_file
from components.formats.files import write_text
from components.formats.names import printable_lines

NOTE = ".sha256"


def note_of(path: Path) -> Path:
    """The file that states the SHA-256 of the file at `path`."""
    return path.with_name(path.name + NOTE)


def noted_digest(path: Path) -> str | None:
    """The SHA-256 that the file at `path` had when it was fetched; None if there is no such note, or no digest in it."""
    try:
        text = note_of(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else None


def damage_of(path: Path) -> str:
    """What is wrong with a kept file, in words that can begin a message; "" if its bytes are those that were fetched."""
    expected = noted_digest(path)
    if expected is None:
        return f"{path} is of unknown origin: no SHA-256 was noted beside it when it was fetched"
    try:
        found = digest_file(path)
    except OSError as error:
        return f"{path} cannot be read: expected SHA-256 {expected}, found {error.strerror}"
    return "" if found == expected else f"{path} is damaged: expected SHA-256 {expected}, found {found}"


def whole_or_fetched(path: Path, fetch: Callable[[], Path]) -> Path:
    """The file at `path` if it is what was fetched once; else what `fetch` brings instead, which is said in a line.

    Raises `SourceMissing` with the damage, and with why nothing could be fetched.
    """
    damage = damage_of(path)
    if not damage:
        return path
    say_refetch(damage)
    try:
        fetched = fetch()
    except SourceMissing as error:
        raise SourceMissing(f"{damage}. It could not be fetched again: {error}") from error
    if fetched != path:
        drop(path)
    return fetched


def say_refetch(damage: str) -> None:
    """Tells the user that a file is fetched again, and why."""
    print(f"{printable_lines(damage)}; it is fetched again", file=sys.stderr, flush=True)  # noqa: T201


def keep(partial: Path, path: Path) -> Path:
    """Gives a fetched file its name in the cache, and notes its digest; returns `path`.

    Raises `SourceMissing` if the file of that name had other bytes when it was fetched first.
    """
    digest, noted = digest_file(partial), noted_digest(path)
    if noted not in (None, digest):
        raise SourceMissing(
            f"{path.name} is offered with other bytes than before: expected SHA-256 {noted}, found {digest}. "
            f"If the change is meant, delete {note_of(path)}."
        )
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    write_text(note_of(path), f"{digest}\n")
    return partial.replace(path)


def drop(path: Path) -> None:
    """Removes the file and its note."""
    for each in (path, note_of(path)):
        each.unlink(missing_ok=True)
