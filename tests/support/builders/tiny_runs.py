"""Builds a run's workspace around packed tokens, as `martlet` leaves it, for tests of commands that look into a run."""

from pathlib import Path
from typing import Any

import yaml

from components.data.documents import Document, write_documents
from components.recipes import read_parameters
from tests.support.builders.tiny_training import FIELDS, packer

ROOT = Path(__file__).parents[3]
HELD_OUT = Document(id="0" * 16, source="prose", language="ja", uri="prose:held-out", text="試験に出る。")


def make_run(home: Path, inputs: Path, name: str, **training: Any) -> Path:
    """A workspace below `home/runs` with the tiny training's parameters, whose results are links to the inputs."""
    workspace = home / "runs" / name
    (workspace / "journal").mkdir(parents=True)
    (workspace / "journal/request.json").write_text("{}")
    values = read_parameters(ROOT / "recipes/smoke.yaml").values
    values["collect"]["sources"][0] |= {"name": "prose"}
    values["pack"] = packer().model_dump(mode="json")
    values["train"] = FIELDS | training
    values["pack_base"], values["train_base"] = {"kind": "passthrough", "version": 1}, {"kind": "passthrough", "version": 1}
    (workspace / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (workspace / "artifacts").mkdir()
    for stage, result in {"pack": "tokens", "expand": "model"}.items():
        (workspace / "artifacts" / stage).symlink_to(inputs / result)
    write_documents(workspace / "artifacts/clean/heldout/ja.jsonl.gz", [HELD_OUT])
    return workspace
