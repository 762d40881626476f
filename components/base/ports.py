"""The services that a component may call, and the context that hands them in; adapters in `infra/` satisfy them by shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from components.base.site import Site
from components.base.usage import Usage


class PackageArchive(Protocol):
    """Fetches a package's file into a cache; satisfied by `infra.downloads.debian` and `infra.downloads.pypi`."""

    def fetch(self, package: str, version: str) -> Path:
        """The cached file of `package` at `version` ("*": whatever is on offer). Raises `SourceMissing`."""
        ...

    def unpack(self, archive: Path, folder: Path) -> None:
        """Unpacks `archive` below `folder`, without installing anything."""
        ...


class ObjectStore(Protocol):
    """Reads a bucket; satisfied by `infra.downloads.objects`."""

    def fetch(self, bucket: str, prefix: str, folder: Path) -> str:
        """Copies every object below `prefix` into `folder`; returns a digest of the ETags. Raises `SourceMissing`."""
        ...


class Hub(Protocol):
    """Reads the Hugging Face Hub; satisfied by `infra.downloads.hub`."""

    def fetch(self, repository: str, revision: str, files: Sequence[str], folder: Path, *, dataset: bool) -> str:
        """Copies the files that match into `folder`; returns the resolved commit. Raises `SourceMissing`."""
        ...


class Launcher(Protocol):
    """Starts the ranks of a worker module and waits for all of them.

    Satisfied by `infra.local`, and by `infra.scheduler.launcher` for a stage whose ranks are a cluster's job.
    """

    def run(
        self, module: str, arguments: Sequence[str], *, processes: int, environment: Mapping[str, str],
        outcome: Path | None = None,
    ) -> None:
        """Runs `python -m module *arguments` in `processes` ranks. Raises `WorkerFailed` with the failing rank's words.

        Ranks that can stop early and resume later say so in the JSON file `outcome`: `finished` is false in it. A launcher
        whose machines are lent for a limited time then starts the ranks again, perhaps another number of them.
        """
        ...

    def usage(self, metrics: Path) -> Usage | None:
        """What the ranks took of a cluster, once the work is done; None if they used no cluster.

        `metrics` are the lines that a training wrote, if there are any.
        """
        ...

    def copy_job_record(self, target: Path) -> None:
        """Copies what an auditor asks for about the ranks' jobs into a folder, which is not made if there were no jobs."""
        ...


class Journal(Protocol):
    """Where a stage says how far it is: lines that are read live by the flow; satisfied by `infra.journal`."""

    def progress(self, done: int, total: int, text: str) -> None:
        """States that `done` of `total` is reached; cheap to call often, printed now and then."""
        ...

    def say(self, text: str) -> None:
        """Prints one plain line."""
        ...

    @property
    def metrics(self) -> Path:
        """The JSONL file, outside the outputs, to which a long stage appends one line per step."""
        ...


@dataclass(frozen=True)
class Context:
    """Where a component runs, and the services it may call."""

    site: Site
    scratch: Path
    """Survives a retry of this very stage with these very inputs and parameters; checkpoints live here."""
    fingerprint: str
    """SHA-256 over the component's parameters and its inputs: what `scratch` belongs to."""
    warm_start_candidates: tuple[Path, ...]
    """Scratch folders of trainings that differ in `warm_start_fields` alone: read only, and any may vanish at any moment."""
    journal: Journal
    launcher: Launcher
    debian: PackageArchive
    pypi: PackageArchive
    objects: ObjectStore
    hub: Hub
