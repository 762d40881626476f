"""Keeps the first record of a result that was made again: its bytes are the same, so nothing that follows has to run again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.formats.files import write_text


@contextmanager
def keeping_first_record(repo: Any, stage: str) -> Iterator[None]:
    """During the block the stage may run. If it makes again what `dvc.lock` names, its new record gives way to the first.

    A record says when and how long, so it is another at every run, and with it everything that is made from records.
    """
    path = Path(repo.root_dir, "dvc.lock")
    before = path.read_bytes() if path.exists() else b""
    yield
    first, second = entry_of(before, stage), entry_of(path.read_bytes(), stage)
    record = f"artifacts/records/{stage}"
    if first is None or second is None or first == second or without(first, record) != without(second, record):
        return
    kept = repo.cache.local.oid_to_path(next(out["md5"] for out in first["outs"] if out["path"] == record))
    entry = run_cache_entry(repo, first)
    if entry is None or not Path(kept).exists():
        return  # nothing of the first is left
    if newer := run_cache_entry(repo, second):
        newer.unlink()
    write_text(path, before.decode())
    repo.checkout(targets=[str(path.parent / record)], force=True)  # a relative one is one of the current folder


def entry_of(lock: bytes, stage: str) -> Any:
    """What `dvc.lock` says of a stage; None if it says nothing."""
    from dvc.utils.serialize import parse_yaml

    return parse_yaml(lock.decode(), "dvc.lock").get("stages", {}).get(stage) if lock else None


def without(entry: Any, record: str) -> Any:
    """The entry of a stage but for its record."""
    return {**entry, "outs": [out for out in entry["outs"] if out["path"] != record]}


def run_cache_entry(repo: Any, entry: Any) -> Path | None:
    """The run cache's file of a result, which is called by its hash; None if there is none."""
    from dvc.stage.cache import _get_cache_hash

    found = Path(repo.stage_cache.cache_dir).glob(f"*/*/{_get_cache_hash(entry)}")
    return next(found, None)
