"""What srun says and ranks note becomes the right verdict, and names the rank and the node where it began.

The texts are those of Slurm 22.05.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.scheduler.in_job.verdict import End, judge, read_notes
from infra.slurm.rank import rank_variables
from infra.slurm.srun_words import read_ranks_end

KILLED = """\
srun: error: node2: task 2: Killed
srun: launch/slurm: _step_signal: Terminating StepId=2.0
srun: Force Terminated StepId=2.0
"""
RAISED = "srun: error: node2: task 3: Exited with exit code 1\nsrun: launch/slurm: _step_signal: Terminating StepId=3.0\n"
NODE = "srun: error: Node failure on node2\nsrun: Job step aborted: Waiting up to 7 seconds for job step to finish.\n"
UNHEARD = "srun: error: node1: tasks 0-1: User defined signal 2\nsrun: error: node2: tasks 2-3: User defined signal 2\n"
TERMINATED = "srun: error: node1: task 0: Terminated\n"
MEMORY = "srun: error: node2: task 3: Out Of Memory\nsrun: error: node1: tasks 0-1: Killed\n"


def note(rank: int, words: str, *, lost: bool, seconds: float = 0.0) -> dict[str, Any]:
    return {"rank": rank, "node": f"node{rank // 2 + 1}", "kind": "Error", "words": words, "lost": lost, "time": seconds}


PEER = note(0, "RuntimeError: gloo: connection closed by peer", lost=True)
OWN = note(3, "ValueError: no", lost=False, seconds=1.0)


@pytest.mark.parametrize(("code", "said", "notes", "end"), [
    (0, "", [], End("stopped", words="stopped by a signal, its state is saved")),
    (137, KILLED, [], End("lost", "node2", 2, "Killed")),
    (137, KILLED, [PEER], End("lost", "node2", 2, "Killed")),
    (1, RAISED, [OWN], End("failed", "node2", 3, "ValueError: no")),
    (1, RAISED, [PEER, OWN], End("failed", "node2", 3, "ValueError: no")),
    (1, RAISED, [PEER], End("lost", None, 0, "RuntimeError: gloo: connection closed by peer")),
    (1, RAISED, [], End("failed", "node2", 3, "Exited with exit code 1")),
    (0, NODE, [], End("lost", "node2", None, "the node failed")),
    (1, NODE + RAISED, [OWN], End("lost", "node2", None, "the node failed")),
    (138, UNHEARD, [], End("stopped", words="rank 0: User defined signal 2")),
    (143, TERMINATED, [], End("stopped", words="rank 0: Terminated")),
    (137, KILLED + TERMINATED, [], End("lost", "node2", 2, "Killed")),
    (1, RAISED + TERMINATED, [], End("failed", "node2", 3, "Exited with exit code 1")),
    (137, MEMORY, [], End("failed", "node2", 3, "out of memory: give it more of the node, or lower the micro-batch")),
    (1, "srun: error: Unable to create step\n", [], End("lost", words="srun: error: Unable to create step")),
    (1, "", [], End("lost", words="srun ended with exit code 1")),
])  # fmt: skip
def test_the_first_cause_decides_and_not_what_followed_from_it(
    code: int, said: str, notes: list[dict[str, Any]], end: End
) -> None:
    assert judge(read_ranks_end(code, said), notes, finished=False, ended_by=None) == end


def test_ranks_that_say_that_they_finished_have_whatever_came_after() -> None:
    assert judge(read_ranks_end(137, KILLED), [OWN], finished=True, ended_by="Slurm") == End("finished")


def test_what_slurm_itself_ended_was_stopped_unless_it_had_failed_or_lost_its_node() -> None:
    assert judge(read_ranks_end(137, KILLED), [], finished=False, ended_by="Slurm") == End("stopped", words="ended by Slurm")
    assert judge(read_ranks_end(1, RAISED), [OWN], finished=False, ended_by="Slurm").verdict == "failed"
    assert judge(read_ranks_end(0, NODE), [], finished=False, ended_by="Slurm").node == "node2"


def test_notes_are_read_oldest_first_and_one_that_was_being_written_is_none(tmp_path: Path) -> None:
    for rank, seconds in ((0, 3.0), (1, 1.0), (2, 2.0)):
        (tmp_path / f"rank-{rank}.json").write_text(json.dumps(note(rank, "", lost=True, seconds=seconds)))
    (tmp_path / ".rank-3.json.77.partial").write_text('{"rank": 3, "no')
    assert [found["rank"] for found in read_notes(tmp_path)] == [1, 2, 0]
    assert read_notes(tmp_path / "none") == []


def test_a_task_of_slurms_is_a_rank_in_the_usual_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PROCID": "9", "NTASKS": "14", "LOCALID": "1", "STEP_TASKS_PER_NODE": "8,6"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert rank_variables().items() >= {"RANK": "9", "WORLD_SIZE": "14", "LOCAL_RANK": "1"}.items()
