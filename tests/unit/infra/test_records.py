"""A job folder's files: what is believed of an attempt that left no word, and when a job may start again."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from infra.scheduler.records import (
    Attempt,
    JobRequest,
    Verdict,
    failing_nodes,
    is_finished,
    last_lines,
    may_start_again,
    read_attempts,
    with_ends,
    write_attempts,
)
from infra.sites import load_cluster


def attempt(verdict: Verdict | None, done: int = 0, **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "job": 7, "restart": 0, "queued": 1.0, "began": 2.0, "nodes": ("node1", "node2"), "tasks": 4, "node": None,
        "rank": None, "words": "", "ended": None if verdict is None else 3.0, "verdict": verdict, "done": done,
    }  # fmt: skip
    return Attempt(**(values | changes))


def request(attempts_before: int = 0, **changes: Any) -> JobRequest:
    site = load_cluster("slurm-dev")
    assert site is not None
    site = site.model_copy(update={"attempts": 6, "failures_forgiven": 1} | changes)
    return JobRequest(
        module="tests.support.ranks.stub_ranks", arguments=(), outcome=None, allocation=site.stages["train"], site=site,
        attempts_before=attempts_before,
    )


def test_an_attempt_that_left_no_word_was_lost_with_its_first_node_at_the_last_heartbeat(tmp_path: Path) -> None:
    write_attempts(tmp_path, [attempt("stopped", 5), attempt(None)])
    (tmp_path / "heartbeat").touch()
    os.utime(tmp_path / "heartbeat", (50, 50))
    (tmp_path / "logs").mkdir()
    log = 'step\n@progress {"done": 8, "total": 20, "text": ""}\n@progress {"done": 9, "total": 20, "text": ""}\n@progress {"do'
    (tmp_path / "logs/rank-0.log").write_text(log)
    stopped, lost = with_ends(tmp_path, read_attempts(tmp_path))
    assert stopped == attempt("stopped", 5)
    assert (lost.ended, lost.verdict, lost.node, lost.done) == (50.0, "lost", "node1", 9)


@pytest.mark.parametrize(("attempts", "objection"), [
    ([], None),
    ([attempt("lost", 4), attempt("lost", 5), attempt("lost", 6)], None),
    ([attempt("lost", 4), attempt("lost", 4)], "lost 2 times without getting further; the site forgives 1"),
    ([attempt("lost", 4), attempt("stopped", 4), attempt("lost", 4)], None),
    ([attempt("lost", 4), attempt("lost", 3), attempt("lost", 5)], None),
    ([attempt("stopped", n) for n in range(5)], None),
    ([attempt("stopped", n) for n in range(6)], "started 6 times, as often as the site's `attempts` allows"),
])  # fmt: skip
def test_a_job_starts_again_while_it_gets_further_and_its_starts_last(attempts: list[Attempt], objection: str | None) -> None:
    found = may_start_again(request(), attempts)
    assert found == "" if objection is None else re.search(objection, found)


def test_attempts_of_an_earlier_request_do_not_count() -> None:
    earlier = [attempt("lost", 4)] * 6
    assert may_start_again(request(attempts_before=6), [*earlier, attempt("lost", 4)]) == ""
    assert may_start_again(request(attempts_before=0), [*earlier, attempt("lost", 4)])


def test_a_node_that_two_attempts_were_lost_on_is_a_failing_one() -> None:
    lost = [attempt("lost", node=node) for node in ("node2", "node3", "node2", None, None)]
    attempts = [*lost, attempt("failed", node="node3"), attempt("stopped", node="node3")]
    assert failing_nodes(attempts, now=4.0) == ["node2"]
    assert failing_nodes(attempts, now=4.0 + 24 * 3600) == []


def test_only_ranks_that_say_so_have_finished(tmp_path: Path) -> None:
    outcome = tmp_path / "outcome.json"
    assert not is_finished(None)
    assert not is_finished(outcome)
    outcome.write_text('{"finished": false}')
    assert not is_finished(outcome)
    outcome.write_text('{"finished": true, "step": 3}')
    assert is_finished(outcome)


def test_the_end_of_a_log_is_whole_lines_of_it(tmp_path: Path) -> None:
    log = tmp_path / "rank-0.log"
    assert last_lines(log) == ""
    log.write_bytes(b"x" * 100_000 + b"\n" + b"".join(b"line %d\n" % number for number in range(50)) + b"\xff")
    assert last_lines(log, 3) == "line 48\nline 49\n\ufffd"
