"""A model folder, as `transformers` lays it out: config.json, safetensors shards, tokenizer files.

Reading facts from it needs no torch: shapes come from the safetensors headers.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from components.errors import InputError, TokenizerMismatch

TOKENIZER_FILES = (
    "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
)
INDEX = "model.safetensors.index.json"


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder. Raises `InputError` where it is absent."""
    path = folder / "config.json"
    if not path.exists():
        raise InputError(f"{folder} is no model folder: config.json is missing. Run the stage that writes it.")
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def weight_files(folder: Path) -> list[str]:
    """The names of the model's shards: those of its index, or the single file. Raises `InputError` where one is absent."""
    names = ["model.safetensors"]
    if (folder / INDEX).exists():
        names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    if absent := [name for name in names if not (folder / name).exists()]:
        raise InputError(
            f"{folder} holds no whole model: {', '.join(absent)} does not exist. "
            "Name a folder with safetensors weights, or run the stage that writes them."
        )
    return names


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of every tensor in the folder's safetensors files, read from their headers alone.

    Raises `InputError` where a file is of another kind or cut off.
    """
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as shard:
                shapes |= {name: shard.get_slice(name).get_shape() for name in shard.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise InputError(f"{path} is no whole safetensors file ({error}). Fetch or write it again.") from None
    return shapes


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copies the tokenizer's files from one model folder to another."""
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def check_rows(folder: Path, pieces: int) -> None:
    """Raises `TokenizerMismatch` unless the embedding has one row for each of the tokenizer's pieces."""
    shapes = tensor_shapes(folder)
    rows = shapes.get("model.embed_tokens.weight", [0])[0]
    if rows != pieces:
        raise TokenizerMismatch(
            f"{folder}: the tokenizer has {pieces:,} pieces but the embedding has {rows:,} rows. "
            "Take both from the same stage: run `dvc repro expand`, or point the input at a matching model."
        )
