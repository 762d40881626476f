"""The folder of a training's checkpoints: which are kept, which is the newest whole one, and whether it has been damaged.

A checkpoint appears under its name only when it is whole. `step-00000040` holds the state (`state/`, a file of each rank that
wrote it, as laid out by `components.train.checkpoint.fragments`), the metrics so far, and `manifest.json`: which computation
it belongs to, how many processes wrote it, and each file's digest. Any number of processes can resume from it.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from components.base.fields import Fields
from components.errors import CheckpointRefused
from components.formats.digests import digest_file
from components.formats.files import write_json
from components.train.parameters import CheckpointRetention

STATE = "state"
"""The folder in a checkpoint that holds one file for each rank."""


class FileFacts(Fields):
    """A file's length in bytes and its SHA-256."""

    bytes: int
    sha256: str


class CheckpointManifest(Fields):
    """What a checkpoint says of itself in `manifest.json`."""

    fingerprint: str
    step: int
    """Updates made: training resumes with this step."""
    processes: int
    probe_loss: float
    """Loss on the first tokens of the data, in nats: a restored model must have the same."""
    bits_per_byte: float | None
    """Of held-out text, the mean over its languages; None if it was not measured after this update."""
    files: dict[str, FileFacts]


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` updates lies."""
    return folder / f"step-{step:08d}"


def saving_path(folder: Path, step: int) -> Path:
    """Where the checkpoint is written before it is whole."""
    return folder / f".saving-{step:08d}"


def facts_of(path: Path) -> FileFacts:
    """Reads a file once, and syncs it to the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    return FileFacts(bytes=path.stat().st_size, sha256=digest_file(path))


def commit(saving: Path, final: Path, manifest: CheckpointManifest) -> None:
    """Renames a written checkpoint to its final name: after a crash it is either whole or absent."""
    write_json(saving / "manifest.json", manifest.model_dump(mode="json"))
    for folder in [saving, *(path for path in saving.rglob("*") if path.is_dir())]:
        sync_folder(folder)
    shutil.rmtree(final, ignore_errors=True)
    saving.rename(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def prune(folder: Path, keep: CheckpointRetention) -> None:
    """Removes every checkpoint that is not to be kept."""
    paths = sorted(folder.glob("step-*"))
    best = best_of(paths) if keep.best else None
    for path in paths[: -keep.last]:
        if path != best and (keep.every_steps is None or int(path.name.removeprefix("step-")) % keep.every_steps):
            shutil.rmtree(path)


def best_of(paths: Sequence[Path]) -> Path | None:
    """The checkpoint with the lowest bits per byte of held-out text, the earlier of two equals; None if none states any."""
    stated = [(manifest.bits_per_byte, path) for path in paths if (manifest := read_manifest(path))]
    return min(((bits, path) for bits, path in stated if bits is not None), default=(None, None))[1]


def newest(folder: Path, fingerprint: str, workers: int, say: Callable[[str], None]) -> tuple[Path, CheckpointManifest] | None:
    """The newest whole checkpoint and its manifest; `say` names every damaged one that is passed over.

    Reads each of its files, `workers` at a time. Raises `CheckpointRefused` if it belongs to another computation.
    """
    for path in sorted(folder.glob("step-*"), reverse=True):
        manifest = read_manifest(path)
        damage = "manifest.json is missing or broken" if manifest is None else damage_of(path, manifest.files, workers)
        if manifest is None or damage:
            say(f"checkpoint {path.name} is damaged ({damage}); trying the one before")
            continue
        refuse_foreign(path, manifest, fingerprint)
        return path, manifest
    return None


def read_manifest(path: Path) -> CheckpointManifest | None:
    """A checkpoint's manifest, or None if it cannot be read."""
    try:
        return CheckpointManifest.model_validate_json((path / "manifest.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def damage_of(path: Path, files: Mapping[str, FileFacts], workers: int) -> str:
    """What is wrong with the first file that is not as the manifest says; "" if all files are."""
    with ThreadPoolExecutor(workers) as pool:
        damages = pool.map(lambda name: damage_of_file(path, name, files[name]), files)
        return next((damage for damage in damages if damage), "")


def damage_of_file(path: Path, name: str, facts: FileFacts) -> str:
    """What is wrong with one file; "" if nothing is."""
    file = path / name
    if not file.exists():
        return f"{name} is missing"
    if (found := file.stat().st_size) != facts.bytes:
        return f"{name} has {found:,} bytes instead of {facts.bytes:,}"
    if digest_file(file) != facts.sha256:
        return f"{name} has changed: its SHA-256 is not the manifest's"
    return ""


def refuse_foreign_in(folder: Path, fingerprint: str) -> None:
    """Raises `CheckpointRefused` if the newest checkpoint with a readable manifest is of another computation."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        if manifest := read_manifest(path):
            refuse_foreign(path, manifest, fingerprint)
            return


def refuse_foreign(path: Path, manifest: CheckpointManifest, fingerprint: str) -> None:
    """Raises `CheckpointRefused` unless the checkpoint is of this computation."""
    if manifest.fingerprint != fingerprint:
        raise CheckpointRefused(
            f"{path} belongs to other parameters or data: its fingerprint is {manifest.fingerprint[:16]}…, this run's "
            f"is {fingerprint[:16]}…. Remove {path.parent} to train from the start, or restore what it was trained with."
        )
