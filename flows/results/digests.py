"""The MD5 digests by which DVC names files, remembered for as long as the kernel says that a file was not touched.

DVC itself trusts a file whose inode, size and time of modification are as they were, and any read-only object of its cache. All
of these survive a write through a hard link by somebody who puts the time back. The time of the inode's last change (ctime)
does not: nobody can set it.
"""

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

DIRECTORY = ".dir"
"""Ends the name of an object that lists a folder's files; before it stands the list's MD5."""
RACY_NANOSECONDS = 2_000_000_000
"""A file that was touched this short a time ago may be touched again with the same ctime: clocks of file systems are coarse."""


class FileDigests:
    """MD5 of files, in hexadecimal digits, with what is known of them in a database."""

    def __init__(self, home: Path) -> None:
        """`home` is the state folder, whose runs share what is known."""
        home.mkdir(parents=True, exist_ok=True)
        self.database = home / "digests.db"
        with closing(self.connect()) as known, known:
            known.execute("CREATE TABLE IF NOT EXISTS files (place TEXT PRIMARY KEY, state TEXT, md5 TEXT)")

    def connect(self) -> sqlite3.Connection:
        """The database, which several processes may use."""
        return sqlite3.connect(self.database, timeout=60)

    def of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """The MD5 of each path's bytes, empty if there is no file; each inode is read once, and only if it may have changed."""
        found = {path: stat_of(path) for path in paths}
        states = {place(info): state(info) for info in found.values() if info is not None}
        digests = self.remembered(states)
        one_each = {place(info): path for path, info in found.items() if info is not None and place(info) not in digests}
        digests |= self.read(one_each, states)
        return {path: digests[place(info)] if info is not None else "" for path, info in found.items()}

    def remembered(self, states: dict[str, str]) -> dict[str, str]:
        """What was read before and has the same state."""
        with closing(self.connect()) as known:
            rows = [known.execute("SELECT place, md5 FROM files WHERE place = ? AND state = ?", item).fetchone()
                    for item in states.items()]  # fmt: skip
        return {row[0]: row[1] for row in rows if row is not None}

    def read(self, paths: dict[str, Path], states: dict[str, str]) -> dict[str, str]:
        """Reads the files, on all processors, and remembers what did not change just now."""
        now = time.time_ns()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            digests = dict(zip(paths, pool.map(md5_of, paths.values()), strict=True))
        rows = [
            (at, states[at], md5) for at, md5 in digests.items() if now - int(states[at].split(":")[-1]) > RACY_NANOSECONDS
        ]
        with closing(self.connect()) as known, known:
            known.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
        return digests


def stat_of(path: Path) -> os.stat_result | None:
    """What the kernel says of a file; None if there is none."""
    return path.stat() if path.is_file() else None


def place(info: os.stat_result) -> str:
    """Names an inode."""
    return f"{info.st_dev}:{info.st_ino}"


def state(info: os.stat_result) -> str:
    """Differs as soon as anything was done to the inode; the last part is the time of that, in nanoseconds."""
    return f"{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"


def md5_of(path: Path) -> str:
    """The MD5 of a file's bytes, as DVC names them."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
