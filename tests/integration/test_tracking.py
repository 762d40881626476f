"""MLflow is a view: several writers on a new database, nothing twice, nothing that a name could break."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.tracking import is_complete, tracking_environment

ROOT = Path(__file__).parents[2]
STEPS = 5


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARTLET_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def workspace(home: Path, run: str) -> Path:
    """What a run leaves on disk, as far as the writer reads it."""
    folder = home / "runs" / run
    (folder / "journal").mkdir(parents=True)
    (folder / "params.yaml").write_text("train: {steps: 5, sources: [{name: a}, {name: b}]}\n", encoding="utf-8")
    lines = [{"step": n, "time": 1_700_000_000_000 + n, "loss": 9.0 - n} for n in range(STEPS)]
    (folder / "journal" / "train.metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = folder / "artifacts" / "records" / "pack"
    record.mkdir(parents=True)
    facts = {"stage": "pack", "output": {"path": "artifacts/pack", "sha256": "a" * 64}, "report": {"tokens": {"ja/*": 7}}}
    (record / "record.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "infra.tracking_worker", str(folder), folder.name, "a-flow-run"], cwd=ROOT, text=True,
        env=tracking_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )


def finish(writer: "subprocess.Popen[str]") -> None:
    output, _ = writer.communicate("FINISHED", timeout=120)
    assert writer.returncode == 0, output


def shown(home: Path, run: str) -> Any:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id], f"tags.`martlet.run` = '{run}'")
    return found, client.get_metric_history(found.info.run_id, "train/loss")


def test_two_writers_on_a_new_database_both_show_their_run_once_even_when_sent_again(home: Path) -> None:
    folders = [workspace(home, "tiny-11111111"), workspace(home, "tiny-22222222")]
    writers = [start(folder) for folder in folders]
    for writer in writers:
        finish(writer)
    (folders[0] / "journal" / "tracking.json").unlink()  # as if how far it came had been lost: all is sent again
    assert is_complete(folders[1])
    assert not is_complete(folders[0])
    finish(start(folders[0]))
    assert is_complete(folders[0])
    for folder in folders:
        run, curve = shown(home, folder.name)
        assert run.info.status == "FINISHED"
        assert run.data.params["train.sources.1.name"] == "b"
        assert run.data.metrics["pack/tokens.ja/_"] == 7
        assert [(point.step, point.value) for point in curve] == [(n, 9.0 - n) for n in range(STEPS)]
        assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == ["a" * 32]
        assert (folder / "journal" / "mlflow_run").read_text() == run.info.run_id
    assert not (ROOT / "mlruns").exists()
