"""Two runs at once: different ones both finish with a record each, equal ones wait for each other."""

import json
from collections.abc import Callable

from tests.e2e.conftest import Clone
from tests.e2e.tiny import add_tiny


def test_two_different_runs_started_together_both_finish(new_clone: Callable[[str], Clone]) -> None:
    clone = new_clone("two")
    add_tiny(clone)
    seeds = (1, 2)
    flows = [clone.start("run", "tiny", "--set", f"train.seed={seed}", "--set", "train.steps=5") for seed in seeds]
    outputs = [flow.communicate(timeout=600)[0] for flow in flows]
    assert [flow.returncode for flow in flows] == [0, 0], "\n\n".join(outputs)
    records = [json.loads((w / "artifacts/records/train/record.json").read_text()) for w in clone.workspaces]
    assert sorted(record["parameters"]["seed"] for record in records) == [1, 2]
    assert len({record["run"] for record in records}) == 2
    assert len({record["mlflow_run"] for record in records}) == 2
    assert len({record["output"]["sha256"] for record in records}) == 2


def test_the_same_run_started_twice_is_made_once(new_clone: Callable[[str], Clone]) -> None:
    clone = new_clone("same")
    add_tiny(clone)
    flows = [clone.start("run", "tiny") for _ in range(2)]
    outputs = [flow.communicate(timeout=600)[0] for flow in flows]
    assert [flow.returncode for flow in flows] == [0, 0], "\n\n".join(outputs)
    assert sum("waiting for it" in output for output in outputs) == 1
    assert sum(output.count(" ran ") for output in outputs) == 9
    assert len(clone.workspaces) == 1
