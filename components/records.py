"""What a stage did, for the auditor: parameters, digests of what went in and came out, commit, seconds, who asked."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from components.base.component import Component
from components.base.planning import WarmStartable
from components.base.usage import Usage
from components.errors import InputError
from components.formats.digests import digest_value
from components.formats.files import write_text


class Artifact(BaseModel):
    """A path inside the workspace and the SHA-256 of what it held."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    sha256: str


class Record(BaseModel):
    """Written by the door next to every output; restored from the cache together with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    kind: str
    version: int
    parameters: dict[str, Any]
    inputs: dict[str, Artifact]
    output: Artifact
    fingerprint: str
    commit: str
    environment_lock: str
    site: str
    started: str
    seconds: float
    run: str
    mlflow_run: str
    prefect_flow_run: str
    report: dict[str, Any]
    headline: str
    usage: Usage | None = None
    """What the stage's jobs took on a cluster; None if it had none. Records from before there were jobs do not name it."""
    files: dict[str, str] = {}
    """SHA-256 of every file of the output folder, by relative path. Older records do not name them."""

    def write(self, folder: Path) -> None:
        """Writes `record.json` into the folder."""
        write_text(folder / "record.json", self.model_dump_json(indent=2) + "\n")


def read_record(folder: Path) -> Record:
    """The record of one stage. Raises `InputError` if it is absent or was written by another version."""
    path = folder / "record.json"
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist. Run the stage {folder.name!r} first.") from None
    except ValueError as error:
        raise InputError(f"{path} is not a record of this version of Martlet: {error}. Run the stage again.") from None


def warm_start_key(component: Component, inputs: dict[str, Artifact]) -> str:
    """A fingerprint without the component's `warm_start_fields`: equal if one may start from the other's checkpoints."""
    return digest_call(component, inputs, component.warm_start_fields if isinstance(component, WarmStartable) else frozenset())


def fingerprint(component: Component, inputs: dict[str, Artifact]) -> str:
    """SHA-256 over the parameters and the inputs' digests: equal means that the result would be equal."""
    return digest_call(component, inputs, frozenset())


def digest_call(component: Component, inputs: dict[str, Artifact], without: frozenset[str]) -> str:
    """SHA-256 over the parameters, but for some fields, and the inputs' digests."""
    digests = {name: artifact.sha256 for name, artifact in inputs.items()}
    return digest_value({"parameters": component.model_dump(mode="json", exclude=set(without)), "inputs": digests})
