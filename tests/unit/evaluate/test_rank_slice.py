"""Each measurement is some rank's, at any number of ranks, and no rank has much more to do than another."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluate.benchmarks import find_benchmarks
from components.evaluate.engine.rank_slice import deal, measurements_of
from components.evaluate.engine.request import Measurement
from components.evaluate.lm_eval import Benchmark

COSTS = st.lists(st.integers(1, 1000), max_size=30)


def measurement(number: int, cost: int) -> Measurement:
    return Measurement(model="base", of="benchmark", name=f"task{number}", cost=cost)


def cost(share: list[Measurement]) -> int:
    return sum(each.cost for each in share)


@given(COSTS, st.integers(1, 12))
def test_every_measurement_is_dealt_once_and_none_waits_for_a_rank_that_has_more(costs: list[int], ranks: int) -> None:
    measurements = [measurement(number, each) for number, each in enumerate(costs)]
    shares = deal(measurements, ranks)
    assert len(shares) == ranks
    assert sorted((each for share in shares for each in share), key=measurements.index) == measurements
    for share in filter(None, shares):
        # the last one came to whoever had least
        assert cost(share) - share[-1].cost <= min(map(cost, shares))


@pytest.mark.parametrize(("name", "shorter"), [("niilc", "jcommonsenseqa"), ("openbookqa", "jcommonsenseqa")])
def test_what_generates_or_reads_each_choice_is_expected_to_take_longer(name: str, shorter: str) -> None:
    asked = [Benchmark(name=each, language="ja", shots=2, metric=metric)
             for each, metric in (("niilc", "char_f1"), ("jcommonsenseqa", "exact_match"), ("openbookqa", "acc"))]
    benchmarks = find_benchmarks(asked, Path("components/evaluate/items"))
    costs = {each.name: each.cost for each in measurements_of(["base"], benchmarks, {})}
    assert costs[name] > 2 * costs[shorter]


def test_two_ranks_take_a_model_each() -> None:
    shares = deal(measurements_of(["base", "model"], [], {"ja": ["語" * 100], "en": ["word" * 50]}), 2)
    assert [{each.model for each in share} for share in shares] == [{"base"}, {"model"}]
