"""Finds the processes that were started with certain environment variables, and ends them.

A process is recognised by the environment that it was started with, not by a process id in a file: ids are used again.
"""

import os
import select
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Member:
    """One living process."""

    pid: int
    name: str
    """The program's name, at most 15 characters."""
    variables: Mapping[str, str]


def members(**variables: str) -> list[Member]:
    """The living processes of this user whose environment has all of these variables."""
    found = (read(folder) for folder in Path("/proc").iterdir() if folder.name.isdecimal())
    return [member for member in found if member and variables.items() <= member.variables.items()]


def read(folder: Path) -> Member | None:
    """The process of a folder of /proc; None if it has ended or is somebody else's."""
    try:
        words = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        name = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
        state = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None
    variables = dict(word.partition("=")[::2] for word in words if "=" in word)
    return Member(int(folder.name), name, variables) if state not in "ZX" else None


def end(found: Iterable[Member], number: signal.Signals, seconds: float) -> list[Member]:
    """Sends the processes a signal and waits for their end; returns those that still live after so many seconds."""
    until = time.monotonic() + seconds
    handles: list[tuple[Member, int]] = []
    try:
        for member in found:
            with suppress(ProcessLookupError):
                handles.append((member, os.pidfd_open(member.pid)))
        # its number may have been used again before the handle was opened
        same = [(member, handle) for member, handle in handles if read(Path(f"/proc/{member.pid}")) == member]
        for _, handle in same:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        return [member for member, handle in same if not ended(handle, until - time.monotonic())]
    finally:
        for _, handle in handles:
            os.close(handle)


def ended(handle: int, seconds: float) -> bool:
    """Waits for the end of the process behind a pidfd; a zombie counts as ended."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(max(seconds, 0) * 1000))
