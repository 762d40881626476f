"""Writes lineage.json, which says what a release was made of and how, and verifies the release's files against it."""

import sys
from collections.abc import Sequence
from graphlib import TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict

from components.errors import InputError
from components.formats.digests import digest_folder
from components.formats.files import write_text
from components.formats.names import printable, printable_lines
from components.records import Artifact, Record, read_record

LINEAGE_FILE = "lineage.json"
OWN_STAGE = "publish"


class StageLineage(BaseModel):
    """What one stage did: enough to run it again, and to see whether it gives the same bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    kind: str
    version: int
    parameters: dict[str, Any]
    inputs: dict[str, Artifact]
    output: Artifact
    commit: str
    environment_lock: str
    seconds: float
    run: str
    mlflow_run: str
    prefect_flow_run: str


class Lineage(BaseModel):
    """The stages in running order, and the SHA-256 of every other file of the release."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int
    stages: list[StageLineage]
    files: dict[str, str]

    def write(self, folder: Path) -> None:
        """Writes `lineage.json` into the release."""
        write_text(folder / LINEAGE_FILE, self.model_dump_json(indent=2) + "\n")


def read_records(folder: Path) -> list[Record]:
    """The records below the folder, in running order. Raises `InputError` if there are none or if their chain is broken."""
    found = sorted(path.parent for path in folder.glob("*/record.json"))
    if not found:
        raise InputError(f"{folder} holds no <stage>/record.json. Run the stages through `python -m components` or DVC.")
    # an earlier release is not an ancestor of this one
    records = in_running_order([record for record in map(read_record, found) if record.stage != OWN_STAGE])
    check_chain(records)
    return records


def in_running_order(records: Sequence[Record]) -> list[Record]:
    """Producers before consumers; if both orders are right, the stage that started first comes first."""
    by_stage = {record.stage: record for record in records}
    sorter = TopologicalSorter({record.stage: producers(record, records) for record in records})
    sorter.prepare()
    ordered, ready = [], list(sorter.get_ready())
    while ready:
        ready.sort(key=lambda stage: (by_stage[stage].started, stage))
        stage = ready.pop(0)
        ordered.append(by_stage[stage])
        sorter.done(stage)
        ready.extend(sorter.get_ready())
    return ordered


def producers(record: Record, records: Sequence[Record]) -> set[str]:
    """The stages whose output, or a part of it, went into this one."""
    inputs = [PurePosixPath(artifact.path) for artifact in record.inputs.values()]
    others = [other for other in records if other.stage != record.stage]
    return {other.stage for other in others if any(path.is_relative_to(other.output.path) for path in inputs)}


def check_chain(records: Sequence[Record]) -> None:
    """Raises `InputError` if a stage's input is not the output that its producer's record states."""
    outputs = {record.output.path: record for record in records}
    for record in records:
        for name, artifact in record.inputs.items():
            producer = outputs.get(artifact.path)
            if producer is not None and producer.output.sha256 != artifact.sha256:
                raise InputError(
                    f"the lineage is broken: {record.stage} took {name}={artifact.path} with SHA-256 "
                    f"{artifact.sha256[:12]}…, but {producer.stage} wrote {producer.output.sha256[:12]}… there. "
                    f"Run `dvc repro {record.stage}`, so that it takes the present output."
                )


def check_input(records: Sequence[Record], name: str, sha256: str) -> None:
    """Raises `InputError` unless a stage's record says that it wrote these bytes."""
    if not any(record.output.sha256 == sha256 for record in records):
        stages = ", ".join(record.stage for record in records)
        raise InputError(
            f"no recorded stage wrote the {name} that is to be published (SHA-256 {sha256[:12]}…; records of: {stages}). "
            "Publish what the recorded run made: run `dvc repro publish`."
        )


def trace(records: Sequence[Record], release: Path) -> Lineage:
    """The lineage of the release's files as they are now."""
    stages = [StageLineage.model_validate(record.model_dump(include=set(StageLineage.model_fields))) for record in records]
    files = {name: digest for name, digest in digest_folder(release).items() if name != LINEAGE_FILE}
    return Lineage(schema_version=1, stages=stages, files=files)


def read_lineage(folder: Path) -> Lineage:
    """The lineage of a release. Raises `InputError` if it is absent or of another version."""
    path = folder / LINEAGE_FILE
    try:
        return Lineage.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: {folder} is not a release. Name the folder that `publish` wrote.") from None
    except ValueError as error:
        raise InputError(f"{path} is not a lineage of this version: {error}. Publish the release again.") from None


def verify(folder: Path) -> list[str]:
    """One sentence for each file that differs from a release's lineage, sorted by name; empty if none does."""
    expected = read_lineage(folder).files
    found = {name: digest for name, digest in digest_folder(folder).items() if name != LINEAGE_FILE}
    return [
        f"{printable(name)} {difference(expected.get(name), found.get(name))}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def difference(expected: str | None, found: str | None) -> str:
    """How a file differs, by its two digests."""
    if found is None:
        return "is missing"
    if expected is None:
        return "was not part of the release"
    return f"has changed: SHA-256 {found[:12]}…, released as {expected[:12]}…"


def main(arguments: Sequence[str]) -> int:
    """`python -m components.publish.lineage FOLDER`: 0 if the release is as it was made, else 1 and the differences."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m components.publish.lineage FOLDER\n")
        return 2
    try:
        differences = verify(Path(arguments[0]))
    except InputError as error:
        sys.stderr.write(f"error: {printable_lines(str(error))}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in differences) or "every file is as it was released\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
