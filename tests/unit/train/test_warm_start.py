"""Which checkpoints two trainings share that differ in the batches they leave out, and who is found to be a candidate."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data.batches import batch_at
from components.records import Artifact, fingerprint, warm_start_key
from components.train.checkpoint.store import checkpoint_path, read_manifest
from components.train.checkpoint.warm_start import first_difference, read_warm_start, warm_start
from components.train.contract import WarmStart
from components.train.request import TrainingRequest
from infra.scratch import warm_start_candidates, write_warm_start_key
from infra.settings import Settings
from tests.support.builders.tiny_training import trainer
from tests.support.fakes import make_context
from tests.unit.train.test_checkpoints import steps_in, write_checkpoint

INPUTS = {name: Artifact(path=f"artifacts/{name}", sha256=digit * 64) for name, digit in (("model", "1"), ("tokens", "2"))}


def training(folder: Path, mark: str, skipped: list[list[int]], saved: tuple[int, ...] = ()) -> TrainingRequest:
    """A training's scratch folder with its checkpoints, and what it was asked."""
    context = make_context(folder / mark, fingerprint=mark * 64)
    attempt = trainer(skip_batches=skipped)._request(context, folder / "model", folder / "tokens")
    for step in saved:
        write_checkpoint(context.scratch / "checkpoints", step, fingerprint=mark * 64)
    context.scratch.mkdir(parents=True, exist_ok=True)
    (context.scratch / "request.json").write_text(attempt.model_dump_json())
    return attempt


def go_on(attempt: TrainingRequest, *candidates: TrainingRequest) -> list[str]:
    """What is said; the checkpoints are looked at afterwards."""
    said: list[str] = []
    warm_start(attempt, [candidate.scratch for candidate in candidates], said.append)
    return said


def test_the_newest_checkpoint_before_the_first_other_batch_is_gone_on_from(tmp_path: Path) -> None:
    old = training(tmp_path, "a", [], (4, 8, 12, 16))
    new = training(tmp_path, "b", [[9, 10]])
    words = "the training aaaaaaaaaaaaaaaa (skip_batches: []), which parts from this one at step 9"
    assert go_on(new, old) == [f"resuming from step-00000008 of {words}"]
    manifest = read_manifest(checkpoint_path(new.scratch / "checkpoints", 8))
    assert manifest is not None
    assert (manifest.fingerprint, manifest.step, steps_in(new.scratch / "checkpoints")) == ("b" * 64, 8, [8])
    assert read_warm_start(new.scratch) == WarmStart(fingerprint="a" * 64, step=8)
    untouched = read_manifest(checkpoint_path(old.scratch / "checkpoints", 8))
    assert untouched is not None
    assert (untouched.fingerprint, steps_in(old.scratch / "checkpoints")) == ("a" * 64, [4, 8, 12, 16])


def test_of_several_relatives_the_one_that_is_furthest_on_the_way_is_taken(tmp_path: Path) -> None:
    none, one = training(tmp_path, "a", [], (4,)), training(tmp_path, "c", [[5, 5]], (4, 8, 16))
    new = training(tmp_path, "b", [[5, 5], [11, 11]])  # batch 11 would be the second one's step 10
    assert "step-00000008 of the training cccccccccccccccc" in go_on(new, none, one)[0]


def test_without_a_checkpoint_from_before_it_says_that_it_starts_at_the_beginning(tmp_path: Path) -> None:
    old, new = training(tmp_path, "a", [], (12, 16)), training(tmp_path, "b", [[9, 10]])
    words = "starting from the beginning: of the training aaaaaaaaaaaaaaaa (skip_batches: []), which parts from this one at "
    assert go_on(new, old) == [f"{words}step 9, no whole checkpoint from before is left (step-00000012, step-00000016)"]
    assert (steps_in(new.scratch / "checkpoints"), read_warm_start(new.scratch)) == ([], None)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path: Path) -> None:
    old, new = training(tmp_path, "a", [], (4, 8)), training(tmp_path, "b", [[9, 10]])
    (checkpoint_path(old.scratch / "checkpoints", 8) / "state/rank-00000.safetensors").write_bytes(b"torn")
    said = go_on(new, old)
    assert "step-00000008 is damaged" in said[0]
    assert (len(said), steps_in(new.scratch / "checkpoints")) == (2, [4])


@pytest.mark.parametrize("own", [(4,), (4, 12)])
def test_a_training_with_a_checkpoint_of_its_own_goes_on_from_that(own: tuple[int, ...], tmp_path: Path) -> None:
    old, new = training(tmp_path, "a", [], (8,)), training(tmp_path, "b", [[9, 10]], own)
    assert (go_on(new, old), steps_in(new.scratch / "checkpoints")) == ([], list(own))


def test_a_relative_that_is_gone_or_cannot_be_read_is_no_relative(tmp_path: Path) -> None:
    old, new = training(tmp_path, "a", [], (4,)), training(tmp_path, "b", [[9, 10]])
    (old.scratch / "request.json").write_text("{}")
    said: list[str] = []
    warm_start(new, [old.scratch, tmp_path / "gone"], said.append)
    assert (said, steps_in(new.scratch / "checkpoints")) == ([], [])


RANGES = st.lists(st.integers(0, 30), max_size=6, unique=True).map(
    lambda cuts: [(first, last) for first, last in zip(sorted(cuts)[::2], sorted(cuts)[1::2], strict=False)]
)


@given(one=RANGES, other=RANGES)
def test_up_to_the_first_difference_both_take_the_same_batches(one: Any, other: Any) -> None:
    first = first_difference(20, one, other)
    assert [batch_at(step, one) for step in range(first)] == [batch_at(step, other) for step in range(first)]
    assert first == 20 or batch_at(first, one) != batch_at(first, other)


def test_only_other_skip_batches_leave_trainings_relatives(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    components = [trainer(), trainer(skip_batches=[[3, 4]]), trainer(seed=1), trainer(steps=20)]
    marks = [(fingerprint(each, INPUTS), warm_start_key(each, INPUTS)) for each in components]
    other = INPUTS | {"tokens": INPUTS["model"]}
    marks.append((fingerprint(components[0], other), warm_start_key(components[0], other)))
    folders = [settings.checkpoints / mark[:16] for mark, _ in marks]
    assert len(set(folders)) == len(marks)
    for folder, (_, kin) in zip(folders, marks, strict=True):
        write_warm_start_key(folder, kin)
    assert warm_start_candidates(settings, folders[0], marks[0][1]) == (folders[1],)
    others = zip(folders[2:], marks[2:], strict=True)
    assert [warm_start_candidates(settings, folder, kin) for folder, (_, kin) in others] == [()] * 3
