"""Runs started together: different ones both finish with a record each, equal ones wait for each other."""

import json
from pathlib import Path
from typing import Any

from components.params import STAGES
from tests.e2e.conftest import Clone, outcomes


def test_two_different_runs_and_one_of_them_twice_started_together_all_finish(tiny: Clone, undisturbed: Path) -> None:
    """With another learning rate than the first run's: `train` and what follows run, the rest comes from the cache."""
    rates = (1e-3, 5e-4, 5e-4)
    flows = [tiny.start("run", "tiny", "--set", f"train.learning_rate={rate}", "--set", "train.steps=5") for rate in rates]
    outputs = [flow.communicate(timeout=600)[0] for flow in flows]
    assert [flow.returncode for flow in flows] == [0, 0, 0], "\n\n".join(outputs)
    assert sum("waiting for it" in output for output in outputs) == 1, "\n\n".join(outputs)
    changed = {stage: "ran" if stage in STAGES[STAGES.index("train") :] else "restored" for stage in STAGES}
    unchanged = dict.fromkeys(STAGES, "unchanged")
    assert outcomes(outputs[0]) == changed
    assert sorted(map(outcomes, outputs[1:]), key=str) == [changed, unchanged]

    workspaces = [tiny.workspace(output) for output in outputs]
    assert workspaces[0] != workspaces[1] == workspaces[2]
    records = [train_record(workspace) for workspace in (*workspaces[:2], undisturbed)]
    assert [record["parameters"]["learning_rate"] for record in records] == [1e-3, 5e-4, 2e-3]
    for key in ("run", "mlflow_run", "fingerprint"):
        assert len({record[key] for record in records}) == 3
    assert len({record["output"]["sha256"] for record in records}) == 3


def train_record(workspace: Path) -> Any:
    return json.loads((workspace / "artifacts/records/train/record.json").read_text())
