"""A plan says what a site's jobs take; and the script that it prints is the one that would be submitted."""

import re
from pathlib import Path

import pytest

from components.base.planning import Plannable
from components.errors import ParameterError
from components.params import component_of, load_params
from flows.commands.plan import summaries_before
from flows.commands.plan_jobs import job_rows, paths_of
from infra.scheduler.stage_job import PASSED_ON, StageJob, job_environment
from infra.sites import load_cluster, load_site
from infra.slurm.scheduler import SlurmScheduler

ROOT = Path(__file__).parents[3]
PRICED = ["slurm.price_per_gpu_hour=2", "slurm.currency=USD"]


@pytest.mark.parametrize(
    ("recipe", "jobs", "paid"),
    [
        ("swallow-ms-7b", "4, for 84.1 hours: each computes for 23.8", "10,771 at 2.00 USD: 21,542 USD"),
        ("swallow-mx-8x7b", "7, for 145.3 hours: each computes for 23.8", "18,604 at 2.00 USD: 37,209 USD"),
    ],
)
def test_a_swallow_trainings_jobs_hours_and_money_are_known_before_anything_runs(
    recipe: str, jobs: str, paid: str, tmp_path: Path
) -> None:
    params, slurm = load_params(ROOT / f"recipes/{recipe}.yaml"), load_cluster("a100-16x8", PRICED)
    assert slurm is not None
    hours = component_of(params, "train").hours(summaries_before(params, tmp_path)["train"], load_site("a100-16x8"))
    assert hours is not None
    rows = dict(job_rows(slurm.stages["train"], slurm, hours))
    assert rows["each job"] == "16 nodes × 8 tasks × 8 cores, 8 GPUs a node, partition gpu, at most 24 hours"
    assert rows["jobs in a row"].startswith(jobs)
    assert rows["GPU-hours"].startswith(paid)


def test_jobs_are_counted_by_the_time_in_which_they_compute_and_too_many_are_said() -> None:
    """23 h 50 of a day: exactly so much is one job, a second more is two, and 30 attempts are 715 hours."""
    slurm = load_cluster("a100-16x8")
    assert slurm is not None
    train, one = slurm.stages["train"], 24 - 600 / 3600
    counts = [dict(job_rows(train, slurm, hours))["jobs in a row"] for hours in (one, one + 1 / 3600, 30 * one + 1)]
    assert [words.split(",")[0] for words in counts] == ["1", "2", "31"]
    assert [("would stop it: the site allows 30" in words) for words in counts] == [False, False, True]


def test_of_an_unknown_duration_a_jobs_limit_is_priced_and_without_gpus_nothing() -> None:
    slurm = load_cluster("a100-16x8", PRICED)
    assert slurm is not None
    rows = dict(job_rows(slurm.stages["evaluate"], slurm, None))
    assert rows["GPU-hours"] == "192 at 2.00 USD: 384 USD, if a job uses all its time"
    assert list(dict(job_rows(slurm.stages["clean"], slurm, None))) == ["each job"]


def test_a_model_or_an_accelerator_that_is_not_known_has_no_hours(tmp_path: Path) -> None:
    params = load_params(ROOT / "recipes/smoke.yaml")
    summaries = summaries_before(params, tmp_path)
    assert component_of(params, "train").hours(summaries["train"], load_site("slurm-dev")) is None
    assert component_of(params, "train").hours(summaries["collect"], load_site("a100-16x8")) is None
    assert not isinstance(component_of(params, "clean"), Plannable)


def test_a_stage_that_only_hands_on_is_no_job_and_every_worker_that_spreads_names_its_variables() -> None:
    params = load_params(ROOT / "recipes/swallow-ms-7b.yaml")
    assert [stage for stage in ("pack_base", "train_base", "clean") if component_of(params, stage).is_passthrough] == [
        "pack_base", "train_base"
    ]  # fmt: skip
    assert "CUBLAS_WORKSPACE_CONFIG" in component_of(params, "train").rank_variables
    assert "HF_HUB_OFFLINE" in component_of(params, "evaluate").rank_variables


def test_a_job_gets_the_ranks_variables_and_of_the_submitters_only_those_that_are_named(tmp_path: Path) -> None:
    slurm = load_cluster("slurm-dev")
    assert slurm is not None
    stage_job = StageJob("train", "run-1", "<fingerprint>", tmp_path / "s", tmp_path, tmp_path / "c")
    around = {**dict.fromkeys(PASSED_ON, "x"), "HF_TOKEN": "hf_secret", "MARTLET_TOKEN": "secret"}
    text = SlurmScheduler(slurm).script(stage_job, job_environment({"OURS": "1"}, around), ["node9"])
    assert re.findall(r"^export (\w+)=", text, re.MULTILINE) == [*PASSED_ON, "OURS", *slurm.environment]
    assert "secret" not in text
    assert '#SBATCH --job-name="martlet-train-<fingerprint>"' in text
    assert "#SBATCH --exclude=node9" in text


def test_a_stages_inputs_are_read_from_the_pipeline() -> None:
    assert paths_of(ROOT, "train") == {
        "model": "artifacts/expand", "tokens": "artifacts/pack",
        "output": "artifacts/train", "record": "artifacts/records/train",
    }  # fmt: skip


def test_a_price_belongs_to_a_currency() -> None:
    with pytest.raises(ParameterError, match="currency: name it"):
        load_cluster("a100-16x8", ["slurm.price_per_gpu_hour=2"])
