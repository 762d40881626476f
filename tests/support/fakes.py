"""Hand-written fakes of the ports in `components.base.ports`: few, and none of our own code is patched."""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from components.base.ports import Context
from components.base.site import Site
from components.base.usage import Usage
from components.errors import SourceMissing, WorkerFailed

SITE = Site(
    name="test", workers=2, clean_processes=1, train_processes=2, train_micro_batch_size=2, threads_per_process=1,
    evaluate_batch_size=4, evaluate_processes=2, attention_implementation="sdpa", compile=False, fused_kernels=False,
    asynchronous_checkpoints=True, accelerator_tflops=None,
)

LISTENED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@dataclass
class FakeJournal:
    """Remembers what was said."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    def progress(self, done: int, total: int, text: str) -> None:
        self.lines.append(f"{done}/{total} {text}")

    def say(self, text: str) -> None:
        self.lines.append(text)

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"


class NoPackages:
    """An archive that offers no package at all."""

    def fetch(self, package: str, version: str) -> Path:
        raise SourceMissing(f"no package {package} {version} in this test")

    def unpack(self, archive: Path, folder: Path) -> None:
        raise SourceMissing(f"nothing to unpack: {archive} {folder}")


class NoJobs:
    """The answers of a launcher whose ranks are not jobs of a cluster."""

    def usage(self, metrics: Path) -> Usage | None:
        return None

    def copy_job_record(self, target: Path) -> None:
        pass


class NoLauncher(NoJobs):
    """A launcher whose workers always fail."""

    def run(
        self, module: str, arguments: Sequence[str], *, processes: int, environment: Mapping[str, str],
        outcome: Path | None = None,
    ) -> None:
        raise WorkerFailed(f"{module} was not expected to start in this test")


class RanksHere(NoJobs):
    """A launcher whose ranks run one after another in this process: a worker's imports are paid for only once."""

    def run(
        self, module: str, arguments: Sequence[str], *, processes: int, environment: Mapping[str, str],
        outcome: Path | None = None,
    ) -> None:
        before, handlers = dict(os.environ), {number: signal.getsignal(number) for number in LISTENED}
        try:
            for rank in range(processes):
                numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
                os.environ.update({name: str(number) for name, number in numbers.items()}, **environment)
                if code := import_module(module).main(list(arguments)):
                    raise WorkerFailed(f"rank {rank} of {processes} ended with {code}")
        finally:
            os.environ.clear()
            os.environ.update(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)


class NoObjects:
    """A bucket service with no bucket."""

    def fetch(self, bucket: str, prefix: str, folder: Path) -> str:
        raise SourceMissing(f"no object {bucket}/{prefix} in this test")


class NoHub:
    """A hub with no repository."""

    def fetch(self, repository: str, revision: str, files: Sequence[str], folder: Path, *, dataset: bool) -> str:
        raise SourceMissing(f"no repository {repository}@{revision} in this test")


def make_context(folder: Path, **services: object) -> Context:
    """A context whose services all refuse, except those that the test passes."""
    values: dict[str, object] = {
        "site": SITE, "scratch": folder / "scratch", "fingerprint": "f" * 64, "warm_start_candidates": (),
        "journal": FakeJournal(folder),
        "launcher": NoLauncher(), "debian": NoPackages(), "pypi": NoPackages(), "objects": NoObjects(), "hub": NoHub(),
    }
    values |= services
    return Context(**values)  # type: ignore[arg-type]
