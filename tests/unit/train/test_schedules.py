"""Every schedule warms up alike, moves between the two rates alone, and refuses what does not fit."""

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.train.parameters import Schedule
from components.train.schedules.contract import LearningRateSchedule
from components.train.schedules.wsd import WarmupStableDecaySchedule
from tests.support.builders.tiny_training import trainer

CHOICES = [{"kind": "cosine"}, {"kind": "wsd", "decay_steps": 5, "shape": "linear"},
           {"kind": "wsd", "decay_steps": 14, "shape": "one_minus_sqrt"}]
WSD = CHOICES[1]


def rates(**changes: object) -> list[float]:
    component = trainer(**changes)
    return [component.learning_rate_at(step) for step in range(component.steps + 1)]


def test_every_listed_schedule_is_a_subclass_with_a_kind_of_its_own() -> None:
    listed = get_args(get_args(Schedule)[0])
    assert all(issubclass(each, LearningRateSchedule) for each in listed)
    kinds = [get_args(each.model_fields["kind"].annotation)[0] for each in listed]
    assert len(set(kinds)) == len(kinds)
    assert {choice["kind"] for choice in CHOICES} == set(kinds)


@pytest.mark.parametrize("schedule", CHOICES)
def test_the_warm_up_rises_to_the_highest_rate_and_the_end_is_the_lowest(schedule: dict[str, object]) -> None:
    found = rates(schedule=schedule, steps=16, warmup_steps=2, learning_rate=1e-2, minimum_learning_rate=1e-3)
    assert found[:3] == pytest.approx([1e-3, 5.5e-3, 1e-2])
    assert found[16] == pytest.approx(1e-3)
    assert all(later <= earlier for earlier, later in pairwise(found[2:]))


def test_wsd_stays_at_the_highest_rate_until_the_last_steps() -> None:
    found = rates(schedule=WSD, steps=16, warmup_steps=2, learning_rate=1e-2, minimum_learning_rate=0.0)
    assert found[2:12] == [1e-2] * 10
    assert found[12:] == pytest.approx([8e-3, 6e-3, 4e-3, 2e-3, 0.0])


def test_one_minus_sqrt_falls_fast_and_then_slowly() -> None:
    schedule = WarmupStableDecaySchedule(kind="wsd", decay_steps=4, shape="one_minus_sqrt")
    assert [schedule.height(step, 10) for step in (6, 7, 10)] == pytest.approx([1.0, 0.5, 0.0])


@given(st.integers(1, 200), st.data())
def test_heights_stay_between_nothing_and_all(steps: int, data: st.DataObject) -> None:
    decay_steps = data.draw(st.integers(1, steps))
    schedule = WarmupStableDecaySchedule(kind="wsd", decay_steps=decay_steps, shape="one_minus_sqrt")
    assert not schedule.objection(steps)
    assert all(0.0 <= schedule.height(step, steps) <= 1.0 for step in range(steps + 1))
    assert schedule.objection(decay_steps - 1)


def test_a_decay_that_is_longer_than_what_follows_the_warm_up_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"schedule\.decay_steps 15 exceeds the 14 steps after the warm-up"):
        trainer(schedule={"kind": "wsd", "decay_steps": 15, "shape": "linear"}, steps=16, warmup_steps=2)


def test_an_unknown_schedule_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match=r"'cosine', 'wsd'"):
        trainer(schedule={"kind": "constant"})
