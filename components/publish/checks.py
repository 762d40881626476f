"""Checks a model folder before its release, and gives the config.json to release.

The checks look for faults that were found in published models: a vocabulary size that is not the embedding's, the context
length of the base model, a path of the machine that trained the model, a router that still returns its logits.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from tokenizers import Tokenizer

from components.errors import InputError, TokenizerMismatch
from components.formats.files import write_json
from components.models.folder import read_config
from components.models.verification import ModelFacts
from components.records import Record


@dataclass(frozen=True)
class ReleaseConfig:
    """A config.json that passed, and the generation settings that lie next to it, if any."""

    values: dict[str, Any]
    generation: Path | None

    def write(self, folder: Path) -> None:
        """Writes `config.json`, and copies `generation_config.json`."""
        write_json(folder / "config.json", self.values)
        if self.generation is not None:
            shutil.copyfile(self.generation, folder / self.generation.name)


def checked_config(folder: Path, records: Sequence[Record]) -> ReleaseConfig:
    """The release's configuration. Raises `InputError` or `TokenizerMismatch`, with both values, if one is wrong."""
    values = {key: value for key, value in read_config(folder).items() if key != "_name_or_path"}
    check_vocabulary(folder, values)
    check_positions(folder, values, records)
    check_paths(folder, values)
    values["dtype"] = checked_dtype(folder, values)
    if "output_router_logits" in values:
        values["output_router_logits"] = False  # for training's auxiliary loss; it costs memory and changes generate()'s output
    generation = folder / "generation_config.json"
    return ReleaseConfig(values, generation if generation.exists() else None)


def check_vocabulary(folder: Path, values: dict[str, Any]) -> None:
    """Raises `TokenizerMismatch` unless config.json, embedding and head have a row for each piece and stated padding row."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise InputError(f"{path} does not exist: a release needs its tokenizer. Run `dvc repro expand train`.")
    pieces = Tokenizer.from_file(str(path)).get_vocab_size()
    facts = ModelFacts(folder, values)
    rows = facts.rows(pieces)
    head = rows if facts.head_rows is None else facts.head_rows
    for name, found in (("config.json's vocab_size", values.get("vocab_size")), ("the output head", head)):
        if found != rows:
            padding = f" and config.json states {rows - pieces:,} padding rows" if rows > pieces else ""
            raise TokenizerMismatch(
                f"{folder}: the tokenizer has {pieces:,} pieces{padding} but {name} says {found}. "
                "Take all of them from the same stage: run `dvc repro expand train`."
            )


def check_positions(folder: Path, values: dict[str, Any], records: Sequence[Record]) -> None:
    """Raises `InputError` unless the context length is the one that was trained."""
    found = values.get("max_position_embeddings")
    parameters = next((record.parameters for record in records if record.stage == "train"), {})
    trained = parameters.get("maximum_positions", found)
    if found is None or found != trained:
        raise InputError(
            f"{folder / 'config.json'}: max_position_embeddings is {found}, train.maximum_positions was {trained}. "
            "Run `dvc repro train`, which writes it."
        )


def check_paths(folder: Path, values: dict[str, Any]) -> None:
    """Raises `InputError` if a path of this machine is left in the configuration."""
    for key, text in ModelFacts(folder, values).absolute_paths(PurePosixPath, PureWindowsPath):
        raise InputError(f"{folder / 'config.json'}: {key} holds a path of this machine ({text}). Remove it.")


def checked_dtype(folder: Path, values: dict[str, Any]) -> str:
    """The dtype of the embedding. Raises `InputError` if config.json states another one."""
    facts = ModelFacts(folder, values)
    dtype = facts.embedding_dtype
    stated = facts.stated_dtype(otherwise=dtype)
    if stated != dtype:
        raise InputError(
            f"{folder / 'config.json'} states dtype {stated}, but the weights are {dtype}. Run `dvc repro train`."
        )
    return dtype
