"""Compares what a stage is about to read with what its producer's record says was written there."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from components.errors import InputError
from components.formats.digests import digest_file, digest_folder, digest_value
from components.records import Artifact, Record, read_record

SHOWN = 5


def digest_inputs(inputs: Mapping[str, Path], records: Path) -> dict[str, Artifact]:
    """The digest of each input, by name. Raises `InputError` naming files that are not as their producer's record states.

    `records` holds one folder per stage. An input that no record speaks of is taken as it is.
    """
    known = [read_record(path.parent) for path in sorted(records.glob("*/record.json"))]
    found = {}
    for name, path in inputs.items():
        files = digest_folder(path) if path.is_dir() else {"": digest_file(path)}
        artifact = Artifact(path=str(path), sha256=digest_value(files) if path.is_dir() else files[""])
        for record in known:
            if PurePosixPath(artifact.path).is_relative_to(record.output.path):
                check_input(record, artifact, files)
        found[name] = artifact
    return found


def check_input(record: Record, artifact: Artifact, files: Mapping[str, str]) -> None:
    """Raises `InputError` unless the files are what the record says that its stage wrote; older records name no files."""
    part = PurePosixPath(artifact.path).relative_to(record.output.path)
    if record.files:
        wanted = {below: sha for name, sha in record.files.items() if (below := name_below(name, part)) is not None}
        changed = sorted(name for name in wanted.keys() | files.keys() if wanted.get(name) != files.get(name))
    else:
        changed = [""] if part == PurePosixPath() and record.output.sha256 != artifact.sha256 else []
    if changed:
        paths = list_some(str(PurePosixPath(artifact.path, name)) for name in changed)
        raise InputError(
            f"{paths} is not what {record.stage} wrote: the SHA-256 differs from the one in its record. Start `martlet run` "
            "again: it puts a good copy there, or makes it anew."
        )


def name_below(name: str, part: PurePosixPath) -> str | None:
    """The name of an output's file as seen from `part` of that output (empty for `part` itself); None if it is elsewhere."""
    path = PurePosixPath(name)
    if not path.is_relative_to(part):
        return None
    return "" if path == part else str(path.relative_to(part))


def list_some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = f" (and {len(listed) - SHOWN} more)" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
