"""A workspace's DVC repository in, the same without the files that a killed process left half written, out.

DVC writes two of its files in place, refuses to read a torn one ever again, and makes both anew where they are missing: who
works on what (`rwlock`, of the living only), and the hashes of the results (`dvc.lock`, which its cache of runs knows too).
"""

import json
from pathlib import Path
from typing import Any

import yaml


def remove_torn_files(repo: Any) -> None:
    """Removes them, unless another process works there: then they are about to be written by it."""
    from dvc.dvcfile import LOCK_FILE
    from dvc.lock import LockError
    from dvc.rwlock import RWLOCK_FILE, SCHEMA
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    files = {
        Path(repo.tmp_dir) / RWLOCK_FILE: lambda text: SCHEMA(json.loads(text)),
        Path(repo.root_dir) / LOCK_FILE: lambda text: COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(whole_lines(text))),
    }
    try:
        with repo.lock:  # which DVC holds whenever it writes one of them
            for path, read in files.items():
                if path.exists() and not can(read, path.read_text(encoding="utf-8", errors="replace")):
                    path.unlink()
    except LockError:
        return


def whole_lines(text: str) -> str:
    """The text. Raises `ValueError` where its last line was cut: half a hash would have a result computed again."""
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    return text


def can(read: Any, text: str) -> bool:
    """Whether the text is what its reader expects."""
    from dvc.rwlock import Invalid

    try:
        read(text)
    except (ValueError, yaml.YAMLError, Invalid):
        return False
    return True
