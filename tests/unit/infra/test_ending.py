"""A job that is over: done, to be gone on with, or a failure in one message; the job's own word counts more than Slurm's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.errors import WorkerFailed
from infra.scheduler.ending import is_done
from infra.scheduler.jobs import Job
from infra.scheduler.records import JobRequest, Verdict, write_attempts
from infra.slurm.jobs import PHASE_OF, State
from tests.unit.infra.test_records import attempt, request


@pytest.fixture
def asked(tmp_path: Path) -> JobRequest:
    return request().model_copy(update={"outcome": tmp_path / "outcome.json"})


def ended(state: State, **changes: Any) -> Job:
    return replace(Job.just_submitted(7, "martlet-train-0f"), state=state, phase=PHASE_OF[state], **changes)


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED, State.NODE_FAIL, State.UNKNOWN])
def test_ranks_that_finished_are_believed_whatever_slurm_says_of_their_job(
    tmp_path: Path, asked: JobRequest, state: State
) -> None:
    (tmp_path / "outcome.json").write_text(json.dumps({"finished": True}))
    assert is_done(tmp_path, ended(state), asked)


def test_work_without_an_outcome_is_done_where_the_job_says_so(tmp_path: Path) -> None:
    write_attempts(tmp_path, [attempt("finished")])
    assert is_done(tmp_path, ended(State.UNKNOWN), request())


@pytest.mark.parametrize(("state", "verdict"), [
    (State.TIMEOUT, "stopped"), (State.TIMEOUT, None), (State.FAILED, "stopped"), (State.FAILED, "lost"), (State.UNKNOWN, None),
    (State.UNKNOWN, "lost"), (State.NODE_FAIL, None), (State.PREEMPTED, "stopped"), (State.COMPLETED, "stopped"),
])  # fmt: skip
def test_what_was_stopped_or_lost_is_gone_on_with_in_another_job(
    tmp_path: Path, asked: JobRequest, state: State, verdict: Verdict | None, capsys: pytest.CaptureFixture[str]
) -> None:
    write_attempts(tmp_path, [attempt(verdict)])
    assert not is_done(tmp_path, ended(state), asked)
    assert f"job 7 ended as {state}" in capsys.readouterr().out


def test_a_job_that_was_lost_before_it_began_is_gone_on_with(tmp_path: Path, asked: JobRequest) -> None:
    assert not is_done(tmp_path, ended(State.NODE_FAIL), asked)


def test_a_rank_that_failed_is_told_with_the_end_of_its_log(tmp_path: Path, asked: JobRequest) -> None:
    write_attempts(tmp_path, [attempt("failed", node="node2", rank=3, words="ValueError: no")])
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/rank-3.log").write_text("".join(f"line {number}\n" for number in range(100)))
    with pytest.raises(WorkerFailed, match=r"(?s)job 7: rank 3 of 4 on node2 failed: ValueError: no\..*line 99$") as caught:
        is_done(tmp_path, ended(State.FAILED), asked)
    assert "line 69\n" not in str(caught.value)


@pytest.mark.parametrize("state", [State.CANCELLED, State.DEADLINE, State.OUT_OF_MEMORY])
def test_a_job_that_somebody_ended_is_not_started_again(tmp_path: Path, asked: JobRequest, state: State) -> None:
    write_attempts(tmp_path, [attempt("stopped")])
    with pytest.raises(WorkerFailed, match=f"job 7 ended as {state}.*run the same command again"):
        is_done(tmp_path, ended(state), asked)


def test_a_job_that_never_came_to_its_ranks_is_told_with_its_own_log(tmp_path: Path, asked: JobRequest) -> None:
    (tmp_path / "batch.log").write_text("bash: /gone/python: No such file or directory\n")
    write_attempts(tmp_path, [attempt("lost", job=6)])  # of the job before
    with pytest.raises(WorkerFailed, match=r"(?s)exit code 127, before its ranks began.*/gone/python"):
        is_done(tmp_path, ended(State.FAILED, exit_code=(127, 0)), asked)


def test_a_job_that_was_lost_too_often_ends_in_one_message(tmp_path: Path, asked: JobRequest) -> None:
    write_attempts(tmp_path, [attempt("lost", words="Killed")] * 2)
    with pytest.raises(WorkerFailed, match=r"FAILED \(Killed\) and is not started again: it was lost 2 times"):
        is_done(tmp_path, ended(State.FAILED), asked)


def test_work_that_cannot_go_on_later_is_not_started_again_after_its_time_limit(tmp_path: Path) -> None:
    write_attempts(tmp_path, [attempt("stopped")])
    with pytest.raises(WorkerFailed, match=r"reached its time limit of 30 minutes.*Raise walltime_minutes"):
        is_done(tmp_path, ended(State.TIMEOUT), request())
