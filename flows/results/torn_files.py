"""Removes the files of a workspace's DVC repository that a killed process left half written.

DVC writes two of its files in place, never again reads a torn one, and creates both anew if they are missing: `rwlock`, which
says who works on what (living processes only), and `dvc.lock`, the hashes of the results, which its run cache knows too.
"""

import json
from pathlib import Path
from typing import Any

import yaml


def remove_torn_files(repo: Any) -> None:
    """Removes the torn files, unless another process works there: then that process is about to write them."""
    from dvc.dvcfile import LOCK_FILE
    from dvc.lock import LockError
    from dvc.rwlock import RWLOCK_FILE, SCHEMA
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    files = {
        Path(repo.tmp_dir) / RWLOCK_FILE: lambda text: SCHEMA(json.loads(text)),
        Path(repo.root_dir) / LOCK_FILE: lambda text: COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(whole_lines(text))),
    }
    try:
        with repo.lock:  # DVC holds it whenever it writes one of the two files
            for path, read in files.items():
                if path.exists() and not can(read, path.read_text(encoding="utf-8", errors="replace")):
                    path.unlink()
    except LockError:
        return


def whole_lines(text: str) -> str:
    """The text. Raises `ValueError` if its last line was cut: with half a hash, a result would be computed again."""
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    return text


def can(read: Any, text: str) -> bool:
    """Whether `read` accepts the text."""
    from dvc.rwlock import Invalid

    try:
        read(text)
    except (ValueError, yaml.YAMLError, Invalid):
        return False
    return True
