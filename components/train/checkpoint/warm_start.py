"""Warm start: a training takes over the newest usable checkpoint of a training that differs in `skip_batches` alone.

Up to the first update that they make with different batches, the two are one computation: a checkpoint that the other one
saved before it is what this one would have saved. Its files are shared, not copied, and the other training is not touched: it
may be running, or be removed, while this one looks.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from components.data.batches import Skipped, batch_at
from components.formats.files import link_files, write_json
from components.ranks.request import REQUEST_FILE
from components.train.checkpoint import store
from components.train.contract import WARM_START, WarmStart
from components.train.request import TrainingRequest


def warm_start(request: TrainingRequest, folders: Sequence[Path], say: Callable[[str], None]) -> None:
    """Takes over a checkpoint from one of the scratch folders, unless this training has its own; says which, or why none.

    `folders` are of trainings with the same data and the same parameters except `skip_batches`: the caller ensures that.
    """
    own = request.scratch / "checkpoints"
    if any(own.glob("step-*")):
        return
    (request.scratch / WARM_START).unlink(missing_ok=True)
    candidates = [candidate for folder in folders if (candidate := read_request(folder))]
    for _, path, candidate in sorted(shared_checkpoints(request, candidates), key=lambda found: found[0], reverse=True):
        if take_over(path, candidate, request, say):
            say(f"resuming from {path.name} of {described(request, candidate)}")
            return
    for candidate in candidates:
        saved = ", ".join(path.name for path in sorted((candidate.scratch / "checkpoints").glob("step-*"))) or "none"
        them = described(request, candidate)
        say(f"starting from the beginning: of {them}, no whole checkpoint from before is left ({saved})")


def read_request(folder: Path) -> TrainingRequest | None:
    """The request of a scratch folder's training; None if it is gone, or was written by another version of this program."""
    try:
        candidate = TrainingRequest.read(folder / REQUEST_FILE)
    except (FileNotFoundError, ValidationError):
        return None
    return candidate.model_copy(update={"scratch": folder})  # it may have been moved


def shared_checkpoints(
    request: TrainingRequest, candidates: Sequence[TrainingRequest]
) -> Iterator[tuple[int, Path, TrainingRequest]]:
    """Step, folder and training of every checkpoint that a candidate made before it parts from this training."""
    for candidate in candidates:
        end = parting(request, candidate)
        for path in (candidate.scratch / "checkpoints").glob("step-*"):
            if (step := int(path.name.removeprefix("step-"))) <= end:
                yield step, path, candidate


def parting(one: TrainingRequest, other: TrainingRequest) -> int:
    """The first update that the two make with different batches; the number of steps if there is none."""
    return first_difference(one.training.steps, one.training.skip_batches, other.training.skip_batches)


def first_difference(steps: int, one: Skipped, other: Skipped) -> int:
    """The first of `steps` updates that has a different batch under the other list of skipped ones; `steps` if none has."""
    return next((step for step in range(steps) if batch_at(step, one) != batch_at(step, other)), steps)


def take_over(path: Path, candidate: TrainingRequest, request: TrainingRequest, say: Callable[[str], None]) -> bool:
    """Links a candidate's checkpoint into this training's folder; False if it is gone, or damaged, which is said."""
    manifest = store.read_manifest(path)
    if manifest is None or manifest.fingerprint != candidate.fingerprint:
        return False
    saving = store.saving_path(request.scratch / "checkpoints", manifest.step)
    try:
        link_files(path, saving)
    except FileNotFoundError:  # removed meanwhile, for a newer one or with its whole training
        return False
    if damage := store.damage_of(saving, manifest.files, request.workers):
        say(f"{path} is damaged ({damage}); trying the one before")
        return False
    origin = WarmStart(fingerprint=candidate.fingerprint, step=manifest.step)
    write_json(request.scratch / WARM_START, origin.model_dump(mode="json"))
    own = manifest.model_copy(update={"fingerprint": request.fingerprint})
    store.commit(saving, store.checkpoint_path(saving.parent, manifest.step), own)
    return True


def described(request: TrainingRequest, candidate: TrainingRequest) -> str:
    """The candidate, and where it parts from this training."""
    theirs = [list(each) for each in candidate.training.skip_batches]
    end = parting(request, candidate)
    until = f"which parts from this one at step {end:,}" if end < request.training.steps else "which takes the same batches"
    return f"the training {candidate.fingerprint[:16]} (skip_batches: {theirs}), {until}"


def read_warm_start(scratch: Path) -> WarmStart | None:
    """The checkpoint of another training that a training started from; None if it started from the beginning."""
    path = scratch / WARM_START
    return WarmStart.model_validate_json(path.read_bytes()) if path.exists() else None
