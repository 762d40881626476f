"""Files that are whole or absent: written under a temporary name, synced, renamed; and folders that share their files."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from components.formats.disk import naming


def write_text(path: Path, text: str) -> None:
    """Replaces `path` by `text` (UTF-8) in one step; a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with naming(path), partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Replaces `path` by the value as indented JSON, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def link_files(source: Path, target: Path) -> None:
    """Gives every file below `source` a second name below `target`; copies if the disk has no hard links between them."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        named = target / path.relative_to(source)
        named.parent.mkdir(parents=True, exist_ok=True)
        named.unlink(missing_ok=True)
        try:
            os.link(path, named)
        except OSError:
            shutil.copyfile(path, named)
