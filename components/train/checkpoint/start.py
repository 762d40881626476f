"""Finds the checkpoint that a training resumes from: rank 0 looks for it and tells all ranks."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist

from components.errors import CheckpointRefused
from components.formats.training_starts import note_start
from components.train.checkpoint import store
from components.train.contract import WARM_START
from components.train.request import TrainingRequest


@dataclass(frozen=True)
class Start:
    """The point from which training resumes."""

    checkpoint: Path | None
    """None: training starts from the beginning."""
    step: int
    """Updates made so far."""


BEGINNING = Start(None, 0)


def find_start(request: TrainingRequest) -> Start:
    """The newest whole checkpoint. Raises `CheckpointRefused` on all ranks if it is another training's; all take part."""
    told: list[Any] = [None]
    if dist.get_rank() == 0:
        try:
            told = [look(request)]
            note_start(request.scratch, told[0].step, dist.get_world_size())
        except CheckpointRefused as error:
            told = [str(error)]
    dist.broadcast_object_list(told)
    start = told[0]
    if isinstance(start, str):
        raise CheckpointRefused(start)
    assert isinstance(start, Start)
    return start


def look(request: TrainingRequest) -> Start:
    """Removes what a crash left half-written, reads the newest checkpoint once, and says what training resumes from."""
    folder = request.scratch / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    for partial in folder.glob(".saving-*"):
        shutil.rmtree(partial)
    found = store.newest(folder, request.fingerprint, request.workers, say)
    if found is None:
        (request.scratch / WARM_START).unlink(missing_ok=True)
        return BEGINNING
    path, manifest = found
    now, before = dist.get_world_size(), manifest.processes
    elsewhere = f" (written by {before} processes, read by {now})" if now != before else ""
    say(f"resuming from {path.name}, {manifest.step:,} of {request.training.steps:,} steps are done{elsewhere}")
    return Start(path, manifest.step)


def say(text: str) -> None:
    """Prints one line without delay: whoever runs the stage sees its standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
