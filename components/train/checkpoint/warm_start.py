"""Trainings that differ in `skip_batches` alone in, the newest checkpoint from before the two part out, under this one's name.

Up to the first update that they make with different batches they are one computation: what the other one saved there is what
this one would have saved. Its files are shared, not copied, and its own training is not touched: it may be going on, or be
removed, while this one looks.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from components.data.batches import Skipped, batch_at
from components.formats.files import link_files, write_json
from components.train.checkpoint import store
from components.train.contract import WARM_START, WarmStart
from components.train.request import TrainingRequest


def warm_start(request: TrainingRequest, folders: Sequence[Path], say: Callable[[str], None]) -> None:
    """Takes a checkpoint of one of the scratch folders over, unless this training has one of its own; says which, or why none.

    `folders` are of trainings with the same data and parameters but for `skip_batches`: who calls answers for that.
    """
    own = request.scratch / "checkpoints"
    if any(own.glob("step-*")):
        return
    (request.scratch / WARM_START).unlink(missing_ok=True)
    candidates = [candidate for folder in folders if (candidate := read_request(folder))]
    for _, path, candidate in sorted(shared_checkpoints(request, candidates), key=lambda found: found[0], reverse=True):
        if take_over(path, candidate, request, say):
            say(f"going on from {path.name} of {described(request, candidate)}")
            return
    for candidate in candidates:
        saved = ", ".join(path.name for path in sorted((candidate.scratch / "checkpoints").glob("step-*"))) or "none"
        them = described(request, candidate)
        say(f"starting from the beginning: of {them}, no whole checkpoint from before is left ({saved})")


def read_request(folder: Path) -> TrainingRequest | None:
    """What a scratch folder's training was asked; None where it is gone, or was asked by another version of this program."""
    try:
        candidate = TrainingRequest.model_validate_json((folder / "request.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return candidate.model_copy(update={"scratch": folder})  # it may have been moved


def shared_checkpoints(
    request: TrainingRequest, candidates: Sequence[TrainingRequest]
) -> Iterator[tuple[int, Path, TrainingRequest]]:
    """The steps and folders of every checkpoint that a candidate made before it parts from this training."""
    for candidate in candidates:
        end = parting(request, candidate)
        for path in (candidate.scratch / "checkpoints").glob("step-*"):
            if (step := int(path.name.removeprefix("step-"))) <= end:
                yield step, path, candidate


def parting(one: TrainingRequest, other: TrainingRequest) -> int:
    """The first update that the two make with different batches; the number of all where there is none."""
    return first_difference(one.training.steps, one.training.skip_batches, other.training.skip_batches)


def first_difference(steps: int, one: Skipped, other: Skipped) -> int:
    """The first update, of so many, whose batch is another where other batches are skipped; `steps` where none is."""
    return next((step for step in range(steps) if batch_at(step, one) != batch_at(step, other)), steps)


def take_over(path: Path, candidate: TrainingRequest, request: TrainingRequest, say: Callable[[str], None]) -> bool:
    """Puts a candidate's checkpoint under its name in this training's folder; False where it is damaged (said) or gone."""
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
    """Which other training's checkpoint a training went on from; None where it began at the beginning."""
    path = scratch / WARM_START
    return WarmStart.model_validate_json(path.read_bytes()) if path.exists() else None
