"""SHA-256 of files and folders: the names that lineage and checkpoints use for bytes."""

import hashlib
import json
from pathlib import Path


def digest_file(path: Path) -> str:
    """SHA-256 of the file's bytes, as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_folder(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by relative path, sorted."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): digest_file(p) for p in files}


def digest_code(folder: Path) -> dict[str, str]:
    """SHA-256 of every Python file below `folder`, by relative path, sorted."""
    return {str(path.relative_to(folder)): digest_file(path) for path in sorted(folder.rglob("*.py"))}


def digest_path(path: Path) -> str:
    """One SHA-256 for a file or a whole folder (over its sorted names and digests)."""
    return digest_value(digest_folder(path)) if path.is_dir() else digest_file(path)


def digest_value(value: object) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
