"""Mirrors a workspace's journal and records in one MLflow run, which carries itself how much of them it shows (`coverage`).

The same lines sent twice are one point, since a point's time is the journal's. `journal/tracking.json` says for people and for
the next start which MLflow run that is, and whether it shows all.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from components.base.plain_yaml import read_yaml_file
from components.formats.files import write_text
from infra.tracking.address import Address
from infra.tracking.coverage import TAG, Coverage, curve_files, on_disk, output_of, read_coverage, read_records
from infra.tracking.faults import is_refusal
from infra.tracking.runs import RUN_TAG, open_run
from infra.tracking.state import MirrorState
from infra.tracking.values import accepted, flatten, read_points, record_numbers, score_table

BATCH = 1000
CHUNK_BYTES = 1 << 16
PARAMETER_BATCH = 100
PARAMETER_LENGTH = 6000
FIXED_TIME = 1  # milliseconds: numbers without a curve have no time of their own, and sending them twice must stay one point
DATASETS = {"clean": "text", "pack_base": "training", "pack": "training"}
TABLE = "evaluate/table.json"
TABLE_TAG = {"mlflow.loggedArtifacts": json.dumps([{"path": TABLE, "type": "table"}])}


class Mirror:
    """One MLflow run, and how much of the workspace it shows already."""

    def __init__(self, workspace: Path, run: str, flow_run: str, address: Address) -> None:
        self.workspace = workspace
        self.journal = workspace / "journal"
        self.run = run
        self.flow_run = flow_run
        self.address = address
        self.tags = {RUN_TAG: run, "mlflow.runName": run, "mlflow.source.name": "martlet"}
        if flow_run:  # empty if nothing ran and only the rest is sent
            self.tags["prefect.flow_run_id"] = flow_run
        self.state = MirrorState.begin(self.journal, address)
        self.coverage = Coverage()
        self.run_id = ""

    def open(self) -> None:
        """Finds the MLflow run, or creates it, and learns from it how much it shows; other processes find its id in a file."""
        if self.run_id:
            return
        self.client = MlflowClient(self.address.uri)
        found = open_run(self.client, self.run, self.state.run_id, self.tags)
        run_id = str(found.info.run_id)
        self.coverage = read_coverage(found.data.tags.get(TAG, ""))
        self.state.follow(run_id, self.coverage)
        write_text(self.journal / "mlflow_run", run_id)
        if self.address.is_server:
            page = f"{self.address.shown}/#/experiments/{found.info.experiment_id}/runs/{run_id}"
            write_text(self.journal / "mlflow_page", page)
        self.run_id = run_id
        if self.flow_run or not self.coverage.covers(on_disk(self.workspace)):
            self.client.update_run(run_id, status="RUNNING")
            self.tell(replace(self.coverage, status=""))
            self.log_parameters()  # the same values again are no change

    def log_parameters(self) -> None:
        """Sends every value of `params.yaml`, by its dotted path, and what the run is called."""
        values = flatten(read_yaml_file(self.workspace / "params.yaml"))
        params = [Param(accepted(key), str(value)[:PARAMETER_LENGTH]) for key, value in values.items()]
        for start in range(0, len(params), PARAMETER_BATCH):
            self.send("params", params[start : start + PARAMETER_BATCH])
        self.send("tags", [RunTag(k, v) for k, v in self.tags.items()])

    def send(self, kind: str, values: Sequence[Any]) -> None:
        """Sends values of one kind; one that MLflow refuses costs no other, and is noted."""
        if not values:
            return
        try:
            self.client.log_batch(self.run_id, **{kind: values})
        except MlflowException as error:
            if not is_refusal(error) or self.is_gone():
                raise
            if len(values) == 1:
                self.state.skip(kind, f"{values[0].key}: {error}")
                return
            middle = len(values) // 2
            self.send(kind, values[:middle])
            self.send(kind, values[middle:])

    def is_gone(self) -> bool:
        """Whether the run was put into the trash, which MLflow calls a wrong value too."""
        return bool(self.client.get_run(self.run_id).info.lifecycle_stage != "active")

    def tell(self, coverage: Coverage) -> None:
        """Writes down how far the mirror came: first in MLflow, beside what it says, then here."""
        if coverage != self.coverage:
            self.client.set_tag(self.run_id, TAG, coverage.text())
            self.coverage = coverage
            self.state.follow(self.run_id, coverage)

    def catch_up(self) -> None:
        """Sends what is new. Raises whatever keeps it from that; nothing is lost by it."""
        self.open()
        for stage, path in curve_files(self.workspace).items():
            self.send_curve(stage, path)
        records = read_records(self.workspace)
        for stage, record in records.items():
            self.send_numbers(stage, record)
        for stage, record in records.items():  # they may go elsewhere than numbers, and fail alone
            self.send_files(stage, record)

    def send_curve(self, stage: str, path: Path) -> None:
        """Sends the new complete lines of one metrics file; from its beginning if MLflow shows another file's."""
        position = self.coverage.start(stage, path)
        if not position:
            self.state.skipped.pop(stage, None)
        with path.open("rb") as stream:
            stream.seek(position)
            while lines := [line for line in stream.readlines(CHUNK_BYTES) if line.endswith(b"\n")]:
                points = [point for line in lines for point in self.points(stage, line)]
                for start in range(0, len(points), BATCH):
                    self.send("metrics", points[start : start + BATCH])
                position += sum(map(len, lines))
                self.tell(self.coverage.with_curve(stage, path, position))

    def points(self, stage: str, line: bytes) -> list[Metric]:
        """A line's points; none of one that cannot be read, which is noted."""
        try:
            return read_points(stage, line)
        except ValueError as error:
            self.state.skip(stage, f"{line[:60].decode(errors='replace').strip()}: {error}")
            return []

    def send_numbers(self, stage: str, record: dict[str, Any]) -> None:
        """Sends a finished stage's numbers and its dataset; once for each output."""
        mark = output_of(record)
        if self.coverage.records.get(stage) == mark:
            return
        self.send("metrics", [Metric(name, value, FIXED_TIME, 0) for name, value in record_numbers(record).items()])
        if stage in DATASETS:
            self.log_dataset(stage, record)
        self.tell(replace(self.coverage, records={**self.coverage.records, stage: mark}))

    def send_files(self, stage: str, record: dict[str, Any]) -> None:
        """Sends a finished stage's record, and the tables of the evaluation; once for each output."""
        mark = output_of(record)
        if self.coverage.files.get(stage) == mark:
            return
        if stage == "evaluate":
            self.log_tables(self.workspace / record["output"]["path"], record)
        path = self.workspace / "artifacts" / "records" / stage / "record.json"
        self.client.log_artifact(self.run_id, str(path), f"records/{stage}")
        self.tell(replace(self.coverage, files={**self.coverage.files, stage: mark}))

    def log_dataset(self, stage: str, record: dict[str, Any]) -> None:
        """Sends the stage's output as a dataset, named by its digest (32 of the 64 hex digits: MLflow's limit is 36)."""
        source = LocalArtifactDatasetSource(str(self.workspace / record["output"]["path"]))
        dataset = MetaDataset(source, name=stage, digest=record["output"]["sha256"][:32])
        tags = [InputTag("mlflow.data.context", DATASETS[stage]), InputTag("sha256", record["output"]["sha256"])]
        self.client.log_inputs(self.run_id, [DatasetInput(dataset._to_mlflow_entity(), tags)])

    def log_tables(self, scores: Path, record: dict[str, Any]) -> None:
        """Sends the evaluation: its tables, its picture, and a table that MLflow's page can show.

        `log_table` would add the rows to those that are there, and show them twice once they are sent again.
        """
        for name in ("scores.json", "scores.md", "scores.png"):
            if (scores / name).exists():
                self.client.log_artifact(self.run_id, str(scores / name), "evaluate")
        self.client.log_dict(self.run_id, score_table(record["report"]), TABLE)
        self.send("tags", [RunTag(name, value) for name, value in TABLE_TAG.items()])

    def close(self, status: str) -> None:
        """Catches up one last time, asking MLflow again what it shows, and sets the run's status."""
        self.run_id = ""
        self.catch_up()
        if self.coverage.status != status:
            self.client.set_terminated(self.run_id, status)
        self.tell(replace(self.coverage, status=status))
        self.state.complete()
