"""Mirrors a workspace's journal and records in one MLflow run, and remembers below `journal/` how far it came.

The same lines sent twice are one point, since a point's time is the journal's.
"""

import json
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from components.base.plain_yaml import read_yaml_file
from components.formats.files import write_json, write_text
from infra.tracking.values import curve_points, flatten, record_numbers, score_rows

BATCH = 1000
PARAMETER_BATCH = 100
PARAMETER_LENGTH = 6000
FIXED_TIME = 1  # milliseconds: numbers without a curve have no time of their own, and sending them twice must stay one point
DATASETS = {"clean": "text", "pack_base": "training", "pack": "training"}


class Mirror:
    """One MLflow run, and how much of the workspace it shows already."""

    def __init__(self, workspace: Path, run: str, flow_run: str, client: MlflowClient) -> None:
        self.workspace = workspace
        self.journal = workspace / "journal"
        self.run = run
        self.client = client
        self.tags = {"martlet.run": run, "mlflow.runName": run, "mlflow.source.name": "martlet"}
        if flow_run:  # empty if nothing ran and only the rest is sent
            self.tags["prefect.flow_run_id"] = flow_run
        self.state_path = self.journal / "tracking.json"
        self.state: dict[str, Any] = {"offsets": {}, "shown": []}
        if self.state_path.exists():
            self.state = json.loads(self.state_path.read_text(encoding="utf-8"))
        self.state["complete"] = False
        self.save()
        self.run_id = ""

    def open(self) -> None:
        """Finds the run by its tag, or creates it; writes its id and its page's address into files for other processes."""
        if self.run_id:
            return
        experiment = self.experiment()
        found = self.client.search_runs([experiment], f"tags.`martlet.run` = '{self.run}'", max_results=1)
        if found:
            run_id = str(found[0].info.run_id)
            self.client.update_run(run_id, status="RUNNING")
        else:
            run_id = str(self.client.create_run(experiment, tags=self.tags).info.run_id)
        self.log_parameters(run_id)  # the same values again are no change
        self.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in self.tags.items()])
        write_text(self.journal / "mlflow_run", run_id)
        if self.client.tracking_uri.startswith("http"):
            page = f"{self.client.tracking_uri.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"
            write_text(self.journal / "mlflow_page", page)
        self.run_id = run_id

    def experiment(self) -> str:
        """The experiment of this recipe (the run id less its digest)."""
        name = self.run.rsplit("-", 1)[0]
        if found := self.client.get_experiment_by_name(name):
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(name))
        except MlflowException:  # another run created it meanwhile
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def log_parameters(self, run_id: str) -> None:
        """Sends every value of `params.yaml`, by its dotted path."""
        values = flatten(read_yaml_file(self.workspace / "params.yaml"))
        params = [Param(key, str(value)[:PARAMETER_LENGTH]) for key, value in values.items()]
        for start in range(0, len(params), PARAMETER_BATCH):
            self.client.log_batch(run_id, params=params[start : start + PARAMETER_BATCH])

    def catch_up(self) -> None:
        """Sends what is new. Raises `MlflowException` if the server is away; nothing is lost by that."""
        self.open()
        for path in sorted(self.journal.glob("*.metrics.jsonl")):
            self.send_curve(path.name.removesuffix(".metrics.jsonl"), path)
        for record in sorted(self.workspace.glob("artifacts/records/*/record.json")):
            self.show(record)

    def send_curve(self, stage: str, path: Path) -> None:
        """Sends the new complete lines of one metrics file."""
        with path.open("rb") as stream:
            stream.seek(self.state["offsets"].get(stage, 0))
            while lines := [line for line in stream.readlines(1 << 16) if line.endswith(b"\n")]:
                points = [point for line in lines for point in curve_points(stage, json.loads(line))]
                for start in range(0, len(points), BATCH):
                    self.client.log_batch(self.run_id, metrics=points[start : start + BATCH])
                self.state["offsets"][stage] = self.state["offsets"].get(stage, 0) + sum(map(len, lines))
                self.save()

    def show(self, path: Path) -> None:
        """Sends a finished stage: its numbers, its dataset, its tables; once for each output."""
        record = json.loads(path.read_text(encoding="utf-8"))
        mark = f"{record['stage']}:{record['output']['sha256']}"
        if mark in self.state["shown"]:
            return
        stage = record["stage"]
        journal = self.journal / f"{stage}.metrics.jsonl"
        if not journal.exists() and (path.parent / "metrics.jsonl").exists():  # restored from the cache: the curve came with it
            self.send_curve(stage, path.parent / "metrics.jsonl")
        metrics = [Metric(name, value, FIXED_TIME, 0) for name, value in record_numbers(record).items()]
        self.client.log_batch(self.run_id, metrics=metrics)
        if stage in DATASETS:
            self.log_dataset(stage, record)
        if stage == "evaluate":
            self.log_tables(self.workspace / record["output"]["path"])
        self.client.log_artifact(self.run_id, str(path), f"records/{stage}")
        self.state["shown"].append(mark)
        self.save()

    def log_dataset(self, stage: str, record: dict[str, Any]) -> None:
        """Sends the stage's output as a dataset, named by its digest (32 of the 64 hex digits: MLflow's limit is 36)."""
        source = LocalArtifactDatasetSource(str(self.workspace / record["output"]["path"]))
        dataset = MetaDataset(source, name=stage, digest=record["output"]["sha256"][:32])
        tags = [InputTag("mlflow.data.context", DATASETS[stage]), InputTag("sha256", record["output"]["sha256"])]
        self.client.log_inputs(self.run_id, [DatasetInput(dataset._to_mlflow_entity(), tags)])

    def log_tables(self, scores: Path) -> None:
        """Sends the evaluation: its tables, its picture, and a table that MLflow's page can show."""
        for name in ("scores.json", "scores.md", "scores.png"):
            if (scores / name).exists():
                self.client.log_artifact(self.run_id, str(scores / name), "evaluate")
        rows = score_rows(json.loads((scores.parent / "records/evaluate/record.json").read_text(encoding="utf-8"))["report"])
        self.client.log_table(self.run_id, rows, "evaluate/table.json")

    def save(self) -> None:
        """Writes down how far the mirror came."""
        write_json(self.state_path, self.state)

    def close(self, status: str) -> None:
        """Catches up one last time, and sets the run's status."""
        self.catch_up()
        self.client.set_terminated(self.run_id, status)
        self.state["complete"] = True
        self.save()
