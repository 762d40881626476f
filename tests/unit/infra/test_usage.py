"""What jobs took, by hand: hours, GPUs, waiting, money; and how much of what was computed came to something."""

from pathlib import Path

import pytest

from components.base.usage import Usage, total
from components.formats.training_starts import Started, note_start, read_starts
from components.records import Record, read_record
from flows.results.outcome import StageResult
from flows.summary import Row, Summary, row
from infra.scheduler.records import Attempt, write_attempts
from infra.scheduler.usage import Line, goodput, mean_mfu, read_usage, usage_of
from infra.sites import load_cluster
from infra.tracking.values import record_numbers
from tests.support.builders.published import invented_digests, make_record

SITE = load_cluster("slurm-dev", ["slurm.price_per_gpu_hour=1.5"])
assert SITE is not None
TRAIN = SITE.stages["train"]  # two GPUs a node
BEGAN = 1_700_000_000.0


def attempt(queued: float, began: float, ended: float | None, done: int, nodes: int = 2) -> Attempt:
    """Times are seconds after `BEGAN`."""
    return Attempt(
        job=7, restart=0, queued=BEGAN + queued, began=BEGAN + began, ended=None if ended is None else BEGAN + ended,
        nodes=tuple(f"node{number}" for number in range(nodes)), tasks=2 * nodes, verdict="stopped", node=None, rank=None,
        words="", done=done,
    )  # fmt: skip


def line(step: int, seconds: float) -> Line:
    return {"step": step, "time": int((BEGAN + seconds) * 1000), "loss": 1.0}


# queued half an hour for one hour on two nodes; then a quarter of an hour for two hours on one node
ATTEMPTS = [attempt(0, 1800, 5400, done=10), attempt(5400, 6300, 13500, done=20, nodes=1)]
STARTS = [Started(step=0, processes=4, time=BEGAN + 1900), Started(step=6, processes=2, time=BEGAN + 6400)]
USAGE = Usage(
    starts=2, node_hours=4.0, gpu_hours=8.0, queue_hours=0.75, goodput=0.833333, mfu=None, cost=12.0, currency="USD"
)


def test_hours_gpus_waiting_and_money_are_those_of_each_starts_own_nodes() -> None:
    """2 nodes × 1 h + 1 node × 2 h; 2 GPUs a node; 0.5 h + 0.25 h in the queue; 20 of 10 + 14 steps; 8 × 1.5 USD."""
    assert SITE is not None
    assert usage_of(ATTEMPTS, STARTS, [], TRAIN, SITE) == USAGE


def test_without_gpus_or_price_nothing_is_said_of_money() -> None:
    assert SITE is not None
    on_cpus = usage_of(ATTEMPTS, [], [], TRAIN.model_copy(update={"gpus_per_node": 0}), SITE)
    assert (on_cpus.gpu_hours, on_cpus.cost, on_cpus.currency, on_cpus.goodput) == (0.0, None, None, None)
    free = usage_of(ATTEMPTS, [], [], TRAIN, SITE.model_copy(update={"price_per_gpu_hour": None}))
    assert (free.gpu_hours, free.cost) == (8.0, None)


def test_steps_after_a_checkpoint_that_was_gone_back_to_were_in_vain() -> None:
    """Three starts: 0 to 10, back to 6 and killed at 8 (known from its progress line alone), back to 6 and on to 12."""
    starts = [Started(step=step, processes=2, time=BEGAN + at) for step, at in ((0, 10), (6, 110), (6, 210))]
    attempts = [attempt(0, 5, 100, 10), attempt(100, 105, 200, 8), attempt(200, 205, 300, 12)]
    lines = [*(line(step, 20 + step) for step in range(10)), line(10, 290), line(11, 291)]
    assert goodput(attempts, starts, lines) == round(12 / (10 + 2 + 6), 6)
    assert goodput([], starts[:1], lines) == 1.0
    assert goodput(attempts[:1], starts[:1], []) == 1.0
    assert goodput(attempts, [], lines) is None


def test_a_start_that_ended_before_its_first_step_computed_nothing() -> None:
    starts = [Started(step=0, processes=2, time=BEGAN + 10), Started(step=0, processes=2, time=BEGAN + 110)]
    assert goodput([attempt(0, 5, 100, 0), attempt(100, 105, 200, 4)], starts, []) == 1.0
    assert goodput([attempt(0, 5, 100, 0)], starts[:1], []) is None


def test_the_mean_mfu_is_by_time() -> None:
    """Three seconds at 50 % and one at 10 %: (1.5 + 0.1) / 4."""
    lines = [{"step": 0, "mfu": 0.5, "step_seconds": 3.0}, {"step": 1, "mfu": 0.1, "step_seconds": 1.0}]
    assert mean_mfu(lines) == 0.4
    assert mean_mfu([line | {"mfu": line["mfu"] / 1e5} for line in lines]) == 4e-6
    assert mean_mfu([{"step": 0, "step_seconds": 3.0}]) is None


def test_what_a_job_took_is_read_from_its_folder_and_left_there(tmp_path: Path) -> None:
    assert SITE is not None
    assert read_usage(tmp_path, tmp_path / "metrics.jsonl", TRAIN, SITE) is None
    write_attempts(tmp_path / "job", ATTEMPTS)
    note_start(tmp_path, 0, 4)
    with (tmp_path / "starts.jsonl").open("a") as stream:
        stream.write('{"step": 6, "proc')  # a crash
    assert [(start.step, start.processes) for start in read_starts(tmp_path)] == [(0, 4)]
    usage = read_usage(tmp_path, tmp_path / "metrics.jsonl", TRAIN, SITE)
    assert usage is not None
    assert Usage.model_validate_json((tmp_path / "job" / "usage.json").read_bytes()) == usage
    assert (usage.gpu_hours, usage.cost) == (8.0, 12.0)


def test_stages_add_up_but_for_shares_and_currencies() -> None:
    other = USAGE.model_copy(update={"mfu": 0.4, "cost": 30.0})
    summed = total([USAGE, other])
    assert summed == Usage(
        starts=4, node_hours=8.0, gpu_hours=16.0, queue_hours=1.5, goodput=None, mfu=None, cost=42.0, currency="USD"
    )
    mixed = total([USAGE, other.model_copy(update={"currency": "JPY"})])
    assert mixed is not None
    assert (mixed.cost, mixed.currency) == (None, None)
    assert total([]) is None


@pytest.mark.parametrize(("hours", "words"), [
    (0.0, "0 s in the queue"), (0.5 / 60, "30 s in the queue"), (0.75, "0.75 hours in the queue"),
    (120.4, "120 hours in the queue"),
])  # fmt: skip
def test_a_time_in_the_queue_is_said_in_a_unit_that_suits_it(hours: float, words: str) -> None:
    assert words in USAGE.model_copy(update={"queue_hours": hours}).words()


def test_hardly_any_hours_are_no_power_of_ten() -> None:
    assert "less than 0.001 GPU-hours" in USAGE.model_copy(update={"gpu_hours": 0.0000123}).words()


def recorded(stage: str, usage: Usage | None) -> Record:
    return make_record(stage, invented_digests()).model_copy(update={"usage": usage})


def test_a_runs_summary_shows_what_its_jobs_took_and_nothing_where_there_were_none() -> None:
    def summary(*rows: Row) -> Summary:
        return Summary(run="r", commit="c", tag="", seconds=1.0, release="x", rows=list(rows))

    ran = StageResult(outcome="ran", seconds=1.0)
    train, clean = row(recorded("train", USAGE), ran), row(recorded("clean", None), ran)
    text = summary(clean, train).markdown()
    took = "2 starts, 8 GPU-hours, 0.75 hours in the queue"
    assert f"| train | {took}, goodput 83.3%, 12.00 USD |\n| together | {took}, 12.00 USD |" in text
    assert "jobs of" not in summary(clean).markdown()


def test_mlflow_is_told_what_a_stages_jobs_took_and_old_records_are_read(tmp_path: Path) -> None:
    record = recorded("train", USAGE)
    numbers = record_numbers(record.model_dump(mode="json"))
    assert numbers["train/usage.gpu_hours"] == 8.0
    assert numbers["train/usage.cost"] == 12.0
    assert "train/usage.mfu" not in numbers
    old = record.model_dump(mode="json", exclude={"usage"})
    assert not any("usage" in name for name in record_numbers(old))
    recorded("train", None).write(tmp_path)
    (tmp_path / "record.json").write_text(Record(**old).model_dump_json(exclude={"usage"}), encoding="utf-8")
    assert read_record(tmp_path).usage is None
