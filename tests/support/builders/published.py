"""The records and scores of an invented run, as the door and `evaluate` leave them: the inputs of `publish` in tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.formats.digests import digest_path
from components.formats.scores import BASE, TRAINED, Score, Scores, TaskScore, TextScore
from components.records import Artifact, Record

SOURCES = [
    {"kind": "debian", "name": "handbook-ja", "package": "debian-handbook", "release": "*", "path": "html/ja-JP",
     "language": "ja", "licence": "GPL-2.0-or-later OR CC-BY-SA-3.0"},
    {"kind": "debian", "name": "python-en", "package": "python3.11-doc", "release": "*", "path": "howto",
     "language": "en", "licence": "PSF-2.0"},
    {"kind": "debian", "name": "handbook-fr", "package": "debian-handbook", "release": "*", "path": "html/fr-FR",
     "language": "fr", "licence": "GPL-2.0-or-later OR CC-BY-SA-3.0"},
]
MODEL = {"kind": "pypi", "name": "mistral-tokenizer", "package": "mistral-common", "release": "1.9.1",
         "files": {"tokenizer.model": "data/tokenizer.model.v1"}, "licence": "Apache-2.0"}
RELEASE: dict[str, Any] = {
    "kind": "folder", "version": 1, "name": "martlet-test", "title": "Martlet test model", "licence": "apache-2.0",
    "base_model": "a tiny Mistral", "languages": ("ja", "en"), "maximum_shard_megabytes": 4900,
}
STAGES: dict[str, dict[str, Any]] = {
    "collect": {
        "inputs": {}, "parameters": {"sources": SOURCES, "model": MODEL},
        "report": {"sources": 3, "pages": 1234, "bytes": 5678901, "languages": ["en", "fr", "ja"],
                   "model_files": ["tokenizer.model"]},
    },
    "clean": {
        "inputs": {"sources": "collect"}, "parameters": {"languages": ["ja", "en"]},
        "report": {"pages": 1234, "kept": 987, "rejected": {"language": 200, "letters": 47},
                   "characters": {"en": 2000000, "ja": 1500000}, "heldout": {"en": 30, "ja": 25}},
    },
    "expand": {
        "inputs": {"model": "collect/model", "text": "clean"}, "parameters": {"pieces": 259},
        "report": {"base_pieces": 200, "added_pieces": 59, "pieces": 259,
                   "characters_before": {"hiragana": 58, "katakana": 76, "kanji": 1456},
                   "characters_after": {"hiragana": 83, "katakana": 87, "kanji": 3208},
                   "tokens_per_character_before": {"en": 0.3, "ja": 1.1},
                   "tokens_per_character_after": {"en": 0.3, "ja": 0.7}},
    },
    "train": {
        "inputs": {"model": "expand"},
        "parameters": {"architecture": None, "maximum_positions": 2048, "learning_rate": 2.0e-5, "steps": 160,
                       "adam_betas": [0.9, 0.95], "activation_checkpointing": False, "seed": 1234},
        "report": {"parameters": 9200000, "steps": 160, "tokens": 655360, "first_loss": 5.5, "last_loss": 4.25},
    },
    "evaluate": {"inputs": {"model": "train", "text": "clean"}, "parameters": {"maximum_length": 1024}, "report": {}},
}
"""Parameters, inputs (paths below artifacts/) and report of each stage, in running order."""


def make_scores() -> Scores:
    """Scores on two tasks and two languages, all numbers invented."""
    digests = {"fewshot": "a" * 64, "test": "b" * 64}
    tasks = [
        TaskScore(
            name=name, language=language, metric=metric, shots=2, items=20, task_sha256="c" * 64, items_sha256=digests,
            scores={BASE: Score(value=base, standard_error=0.09, truncated=0),
                    TRAINED: Score(value=trained, standard_error=None, truncated=1)},
        )
        for name, language, metric, base, trained in (
            ("jcommonsenseqa", "ja", "exact_match", 0.2, 0.35), ("niilc", "ja", "char_f1", 0.0123, 0.1),
            ("openbookqa", "en", "acc", 0.3, 0.25),
        )
    ]
    text = [
        TextScore(
            language=language, documents=3, characters=20000, bytes=size, text_sha256="d" * 64,
            bits_per_byte={BASE: base, TRAINED: trained}, tokens={BASE: 9000, TRAINED: 7000},
        )
        for language, size, base, trained in (("ja", 50123, 2.5, 1.75), ("en", 20000, 2.0, 2.125))
    ]
    return Scores(
        schema_version=1, dtype={BASE: "float32", TRAINED: "float32"}, device="cpu", maximum_length=1024,
        window_tokens={BASE: 1024, TRAINED: 1024}, add_bos_token=False, seed=1234, tasks=tasks, text=text,
        versions={"lm_eval": "0.4.13", "torch": "2.13.0"},
    )


def make_record(stage: str, sha256: Mapping[str, str], started: str = "2026-01-01T00:00:00+00:00") -> Record:
    """The record of one stage; `sha256` has the digests of the paths below artifacts/."""
    values = STAGES[stage]
    inputs = {name: Artifact(path=f"artifacts/{path}", sha256=sha256[path]) for name, path in values["inputs"].items()}
    return Record(
        stage=stage, kind="test", version=1, parameters={"kind": "test", "version": 1} | values["parameters"],
        inputs=inputs, output=Artifact(path=f"artifacts/{stage}", sha256=sha256[stage]), fingerprint="f" * 64,
        commit="0123456789abcdef" * 2, environment_lock="e" * 64, site="test", started=started, seconds=1.5,
        run="run-1", mlflow_run="mlflow-1", prefect_flow_run="flow-1", report=values["report"], headline="",
    )


def invented_digests() -> dict[str, str]:
    """A digest for every path below artifacts/ that the stages name."""
    return {path: digit * 64 for path, digit in zip([*STAGES, "collect/model"], "123456", strict=True)}


def write_records(folder: Path, model: Path, scores: Path) -> Path:
    """Writes records whose chain ends in exactly these folders; returns the folder of records."""
    sha256 = invented_digests() | {"train": digest_path(model), "evaluate": digest_path(scores)}
    for stage in STAGES:
        make_record(stage, sha256).write(folder / stage)
    return folder
