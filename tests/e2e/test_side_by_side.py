"""Runs started together: different ones both finish with a record each, equal ones wait for each other."""

import json

from tests.e2e.conftest import Clone


def test_two_different_runs_and_one_of_them_twice_started_together_all_finish(tiny: Clone) -> None:
    rates = (1e-3, 5e-4, 5e-4)
    flows = [tiny.start("run", "tiny", "--set", f"train.learning_rate={rate}", "--set", "train.steps=5") for rate in rates]
    outputs = [flow.communicate(timeout=600)[0] for flow in flows]
    assert [flow.returncode for flow in flows] == [0, 0, 0], "\n\n".join(outputs)
    assert sum("waiting for it" in output for output in outputs) == 1, "\n\n".join(outputs)

    workspaces = [tiny.workspace(output) for output in outputs]
    assert workspaces[0] != workspaces[1] == workspaces[2]
    records = [json.loads((w / "artifacts/records/train/record.json").read_text()) for w in workspaces[:2]]
    assert [record["parameters"]["learning_rate"] for record in records] == [1e-3, 5e-4]
    for key in ("run", "mlflow_run", "fingerprint"):
        assert records[0][key] != records[1][key]
    assert records[0]["output"]["sha256"] != records[1]["output"]["sha256"]
