"""Saves and loads checkpoints: every rank writes its part, then rank 0 renames the whole checkpoint to its final name."""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from components.errors import ResourceError
from components.formats.disk import reason_of, trouble_behind
from components.train.checkpoint import store
from components.train.checkpoint.fragments import Fragment, FragmentFiles, write_fragments
from components.train.checkpoint.probe import LossProbe
from components.train.checkpoint.state import Staging, fragments_of, restore
from components.train.checkpoint.store import CheckpointManifest, FileFacts
from components.train.metrics import Line, mean_bits, read_lines, write_lines
from components.train.process_group import COLLECTIVE_TIMEOUT
from components.train.request import TrainingRequest

T = TypeVar("T")


@dataclass(frozen=True)
class Snapshot:
    """One rank's part of the checkpoint after `step` updates."""

    step: int
    probe_loss: float
    lines: Sequence[Line]
    fragments: Sequence[Fragment]


class Saver:
    """Writes the checkpoints of one request, at most one at a time, and removes those that are not to be kept.

    If the site has `asynchronous_checkpoints`, training waits only until the state has been copied in memory. A thread writes
    the copy. The threads of all ranks have a process group of their own, so that they never wait for a training step.
    """

    def __init__(self, request: TrainingRequest, engine: Any, probe: LossProbe) -> None:
        """All ranks take part."""
        self.request, self.engine, self.probe = request, engine, probe
        self.rank, self.processes = dist.get_rank(), dist.get_world_size()
        self.folder = request.scratch / "checkpoints"
        self.saved: int | None = 0
        self._group = dist.new_group(backend="gloo", timeout=COLLECTIVE_TIMEOUT)
        self._staging = Staging()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def load(self, checkpoint: Path) -> list[Line]:
        """Restores the engine and returns the metrics so far. Raises `CheckpointRefused` if the loss is not as before."""
        manifest = store.read_manifest(checkpoint)
        assert manifest is not None, f"{checkpoint} was whole a moment ago"
        restore(self.engine, FragmentFiles(checkpoint / store.STATE), manifest.step)
        self.saved = manifest.step
        self.probe.compare(manifest.probe_loss, checkpoint)
        return read_lines(checkpoint / "metrics.jsonl")

    def save(self, step: int, lines: Sequence[Line]) -> None:
        """Writes the checkpoint after `step` updates, unless it exists already; all ranks take part.

        Raises `ResourceError` if this checkpoint, or the one before it in the background, could not be written.
        """
        if step == self.saved:
            return
        self.wait()
        self.saved = step
        snapshot = self.snapshot(step, lines)
        if self.request.asynchronous_checkpoints:
            self._pending = self._thread.submit(self._write, snapshot)
        else:
            self._write(snapshot)

    def snapshot(self, step: int, lines: Sequence[Line]) -> Snapshot:
        """The state after `step` updates: a copy of it if it is written in the background. All ranks take part."""
        fragments = fragments_of(self.engine)
        if self.request.asynchronous_checkpoints:
            fragments = self._staging.hold(fragments)
        return Snapshot(step, self.probe.loss(), list(lines), fragments)

    def wait(self) -> None:
        """Waits until no checkpoint is being written. Raises `ResourceError` if the last one could not be written."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def _write(self, snapshot: Snapshot) -> None:
        """Writes one checkpoint under a temporary name and renames it when it is whole."""
        saving = store.saving_path(self.folder, snapshot.step)
        self._together(saving, lambda: self._begin(saving, snapshot))
        shares = self._together(saving, lambda: self._write_own(saving, snapshot))
        files = {name: facts for share in shares for name, facts in share.items()}
        self._together(saving, lambda: self._finish(saving, snapshot, files))

    def _begin(self, saving: Path, snapshot: Snapshot) -> None:
        """Makes the folder, on rank 0."""
        if self.rank == 0:
            shutil.rmtree(saving, ignore_errors=True)
            saving.mkdir(parents=True)
            write_lines(saving / "metrics.jsonl", snapshot.lines)

    def _write_own(self, saving: Path, snapshot: Snapshot) -> dict[str, FileFacts]:
        """Writes this rank's files; returns the facts of each."""
        name = f"{store.STATE}/rank-{self.rank:05d}.safetensors"
        write_fragments(saving / name, snapshot.fragments)
        names = [name, "metrics.jsonl"] if self.rank == 0 else [name]
        return {name: store.facts_of(saving / name) for name in names}

    def _finish(self, saving: Path, snapshot: Snapshot, files: dict[str, FileFacts]) -> None:
        """Writes the manifest, renames the checkpoint and removes old ones, on rank 0."""
        if self.rank == 0:
            manifest = CheckpointManifest(
                fingerprint=self.request.fingerprint,
                step=snapshot.step,
                processes=self.processes,
                probe_loss=snapshot.probe_loss,
                bits_per_byte=mean_bits(snapshot.lines),
                files=files,
            )
            store.commit(saving, store.checkpoint_path(self.folder, snapshot.step), manifest)
            store.prune(self.folder, self.request.training.keep_checkpoints)

    def _together(self, saving: Path, work: Callable[[], T]) -> list[T]:
        """Works on every rank and returns all results. Raises `ResourceError` on all ranks if the work failed on one."""
        mine: T | None = None
        problem = ""
        try:
            mine = work()
        except OSError as error:
            trouble = trouble_behind(error, [saving])
            problem = f"rank {self.rank}: {reason_of(trouble) if trouble else error}"
        results: list[Any] = [None] * self.processes
        dist.all_gather_object(results, (mine, problem), group=self._group)
        if problems := [problem for _, problem in results if problem]:
            raise ResourceError(
                f"the checkpoint {saving} could not be written: {'; '.join(problems)}. Make room there, or set MARTLET_HOME to "
                "a folder on a larger disk, and run the same command again: it resumes from the last whole checkpoint."
            )
        return [result for result, _ in results]
