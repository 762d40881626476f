"""An engine in, whole checkpoints on the disk out: all ranks write, rank 0 puts the result under its name."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

from components.train import checkpoints
from components.train.attempt import Attempt
from components.train.checkpoints import Manifest
from components.train.metrics import Line, write_lines


class Saver:
    """Writes the checkpoints of one attempt, and removes those that are not to be kept."""

    def __init__(self, attempt: Attempt, engine: Any) -> None:
        self.attempt, self.engine = attempt, engine
        self.rank, self.processes = dist.get_rank(), dist.get_world_size()
        self.folder = attempt.scratch / "checkpoints"
        self.saved = attempt.step

    def save(self, step: int, lines: Sequence[Line]) -> None:
        """Writes the checkpoint after `step` updates, unless it is there already; all ranks take part."""
        if step == self.saved:
            return
        saving = checkpoints.saving_path(self.folder, step)
        if self.rank == 0:
            shutil.rmtree(saving, ignore_errors=True)
            saving.mkdir(parents=True)
            write_lines(saving / "metrics.jsonl", lines)
        dist.barrier()
        self.engine.save_checkpoint(str(saving), tag="state", save_latest=False)
        dist.barrier()
        files = self.digests(saving)
        if self.rank == 0:
            manifest = Manifest(
                fingerprint=self.attempt.fingerprint, step=step, processes=self.processes, files=files
            )
            checkpoints.commit(saving, checkpoints.checkpoint_path(self.folder, step), manifest)
            checkpoints.prune(self.folder, self.attempt.training.keep_checkpoints)
        dist.barrier()
        self.saved = step

    def digests(self, folder: Path) -> dict[str, checkpoints.FileFacts]:
        """The facts of every file below a folder: each rank reads its share of them."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        share = {str(path.relative_to(folder)): checkpoints.facts_of(path) for path in files[self.rank :: self.processes]}
        shares: list[Any] = [None] * self.processes
        dist.all_gather_object(shares, share)
        return {name: facts for part in shares for name, facts in sorted(part.items())}
