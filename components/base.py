"""What every component is, and the ports it may use: parameters in, a report out.

A component's fields are its identity: whatever changes the result is a field, has no default, and is spelled in
`params.yaml`. The context carries only where it runs.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from components.models.summary import ModelSummary


class Fields(BaseModel):
    """Parameters: frozen, nothing unknown, nothing defaulted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Component(Fields):
    """A component is its parameters plus one verb, `run(context, **named paths) -> Report`.

    `kind` chooses the alternative; raising `version` makes DVC run the stage again after a change in code that
    changes results.
    """

    distributed: ClassVar[bool] = False
    """Whether its work is done by ranks that it starts itself, on as many nodes as the site has; the others are run whole."""

    is_passthrough: ClassVar[bool] = False
    """Whether it only hands on what it was given, which is not worth a job."""

    rank_variables: ClassVar[Mapping[str, str]] = {}
    """What those ranks need in their environment, on any site."""

    warm_start_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields in which two of a kind may differ, and the one still goes on from what the other has in its scratch folder."""

    def preflight(self) -> list[str]:
        """What would stop this component, as far as it can be known before anything runs; most know nothing."""
        return []

    def model_summary(self, before: ModelSummary) -> ModelSummary:
        """What is known of the model that this stage leaves, from what is known of the one before it; most change nothing."""
        return before

    def forecast(self, before: ModelSummary, site: "Site") -> list[tuple[str, str]]:  # noqa: ARG002  (for those that know)
        """What running it takes, as names and words, given the model before it; most know nothing."""
        return []

    def hours(self, before: ModelSummary, site: "Site") -> float | None:  # noqa: ARG002
        """How long its ranks compute on that site, given the model before it; None where that cannot be reckoned."""
        return None

    def profile(self, before: ModelSummary, site: "Site", launcher: "Launcher", folder: Path) -> list[tuple[str, str]]:  # noqa: ARG002
        """Tries out in an empty folder for some seconds what running it takes here; most have nothing to try."""
        return []


class Report(BaseModel, ABC):
    """The facts a stage states about its output: typed numbers, equal for equal inputs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def headline(self) -> str:
        """The one line of main numbers that the run's summary prints for this stage."""


class PackageArchive(Protocol):
    """Fetches a package's file into a cache; satisfied by `infra.debian` and `infra.pypi`."""

    def fetch(self, package: str, version: str) -> Path:
        """The cached file of `package` at `version` ("*": whatever is on offer). Raises `SourceMissing`."""
        ...

    def unpack(self, archive: Path, folder: Path) -> None:
        """Unpacks `archive` below `folder`, without installing anything."""
        ...


class ObjectStore(Protocol):
    """Reads a bucket; satisfied by `infra.objects`."""

    def fetch(self, bucket: str, prefix: str, folder: Path) -> str:
        """Copies every object below `prefix` into `folder`; returns a digest of the ETags. Raises `SourceMissing`."""
        ...


class Hub(Protocol):
    """Reads the Hugging Face Hub; satisfied by `infra.hub`."""

    def fetch(self, repository: str, revision: str, files: Sequence[str], folder: Path, *, dataset: bool) -> str:
        """Copies the files that match into `folder`; returns the resolved commit. Raises `SourceMissing`."""
        ...


class Launcher(Protocol):
    """Starts the ranks of a worker module and waits for all of them; satisfied by `infra.local`."""

    def run(
        self, module: str, arguments: Sequence[str], *, processes: int, environment: Mapping[str, str],
        outcome: Path | None = None,
    ) -> None:
        """Runs `python -m module *arguments` in `processes` ranks. Raises `WorkerFailed` with the failing rank's words.

        Ranks that can stop early and go on later say so in the JSON file `outcome`: `finished` is false in it. A launcher
        whose machines are lent for a time starts them again then, perhaps in another number.
        """
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
        """The JSONL file, outside the outputs, to which a long stage appends one line a step."""
        ...


@dataclass(frozen=True)
class Site:
    """How much of this machine or cluster a stage may use; nothing here changes a result."""

    name: str
    workers: int
    clean_processes: int
    train_processes: int
    train_micro_batch_size: int
    threads_per_process: int
    evaluate_batch_size: int
    evaluate_processes: int
    attention_implementation: Literal["sdpa", "flash_attention_2", "eager"]
    compile: bool
    """Whether training goes through `torch.compile`."""
    fused_kernels: bool
    """Whether training takes Liger's kernels."""
    asynchronous_checkpoints: bool
    """Whether training goes on while a checkpoint is written; takes the checkpoint's size in host memory."""
    accelerator_tflops: float | None
    """What one accelerator could do at its best in bf16, in 1e12 operations a second; None: not known, as of a CPU."""


@dataclass(frozen=True)
class Context:
    """Where a component runs, and the services it may call."""

    site: Site
    scratch: Path
    """Survives a retry of this very stage with these very inputs and parameters; checkpoints live here."""
    fingerprint: str
    """SHA-256 over the component's parameters and its inputs: what `scratch` belongs to."""
    warm_start_candidates: tuple[Path, ...]
    """Scratch folders of the same component with the same inputs, but for `warm_start_fields`: to read; gone at any moment."""
    journal: Journal
    launcher: Launcher
    debian: PackageArchive
    pypi: PackageArchive
    objects: ObjectStore
    hub: Hub


__all__ = ["ABC", "Component", "Context", "Fields", "Hub", "Journal", "Launcher", "ObjectStore", "PackageArchive",
           "Report", "Site", "abstractmethod"]
