"""A model folder, as `transformers` lays it out: config.json, safetensors shards, tokenizer files.

Reading facts from it needs no torch: shapes come from the safetensors headers.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.errors import InputError, TokenizerMismatch
from components.formats.json_text import parse_json
from components.models.safetensors_stream import Tensor, read_header

TOKENIZER_FILES = (
    "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
)
INDEX = "model.safetensors.index.json"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
"""The two matrices with a row for every piece, as Mistral, Mixtral and Llama name them."""
PADDING_ROWS = "padding_rows"
"""The key of config.json that says how many rows after the last piece's belong to no piece; absent if there are none."""


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder. Raises `InputError` if it is absent, or not a JSON object."""
    path = folder / "config.json"
    if not path.exists():
        raise InputError(f"{folder} is not a model folder: config.json is missing. Run the stage that writes it.")
    return _read_object(path)


def maximum_positions(folder: Path) -> int:
    """How many tokens config.json says the model may see. Raises `InputError` if it does not say."""
    positions = read_config(folder).get("max_position_embeddings")
    if not isinstance(positions, int) or positions <= 0:
        raise InputError(
            f"{folder / 'config.json'}: max_position_embeddings is {positions!r}; expected how many tokens the model may see. "
            "Fetch the file again, or add the number that the model was trained with."
        )
    return positions


def weight_map(folder: Path) -> dict[str, str]:
    """The shard of each tensor by the folder's index; empty if there is no index.

    Raises `InputError` if the index is not one, or names anything but files of this folder.
    """
    path = folder / INDEX
    if not path.exists():
        return {}
    shards = _read_object(path).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise InputError(f"{path} has no weight_map: the shard of each tensor was expected. Fetch it again.")
    for tensor, name in shards.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise InputError(f"{path}: {tensor} lies in {name!r}; the name of a file next to it was expected. Fetch it again.")
    return shards


def _read_object(path: Path) -> dict[str, Any]:
    """The values of a JSON file. Raises `InputError` if it is not a JSON object."""
    try:
        values = parse_json(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}). Fetch it again, or run the stage that writes it.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no JSON object. Fetch it again, or run the stage that writes it.")
    return values


def weight_files(folder: Path) -> list[str]:
    """The names of the model's shards: those of its index, or the single file.

    Raises `InputError` if one is absent, or as `weight_map` does.
    """
    names = sorted(set(weight_map(folder).values())) or ["model.safetensors"]
    if absent := [name for name in names if not (folder / name).exists()]:
        raise InputError(
            f"{folder} holds no whole model: {', '.join(absent)} does not exist. "
            "Name a folder with safetensors weights, or run the stage that writes them."
        )
    return names


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of every tensor in the folder's safetensors files, read from their headers alone.

    Raises `InputError` if a file is of another kind or cut off.
    """
    return {tensor.name: list(tensor.shape) for tensor in read_tensors(folder)}


def read_tensors(folder: Path) -> Iterator[Tensor]:
    """Every tensor of the folder's safetensors files, from their headers alone; raises as `tensor_shapes` does."""
    for path in sorted(folder.glob("*.safetensors")):
        yield from read_header(path).tensors


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copies the tokenizer's files from one model folder to another."""
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def padding_rows(folder: Path) -> int:
    """How many rows config.json says the matrices have after the last piece's. Raises `InputError` if it is not a number."""
    rows = read_config(folder).get(PADDING_ROWS, 0)
    if not isinstance(rows, int) or rows < 0:
        raise InputError(
            f"{folder / 'config.json'}: {PADDING_ROWS} is {rows!r}; expected how many rows. Run `dvc repro expand`."
        )
    return rows


def check_rows(folder: Path, pieces: int) -> None:
    """Raises `TokenizerMismatch` unless the embedding has a row for each of the tokenizer's pieces, and its padding rows.

    Raises `InputError` if there is no embedding.
    """
    shape, padding = tensor_shapes(folder).get(EMBEDDING), padding_rows(folder)
    if shape is None:
        raise InputError(f"{folder} holds no {EMBEDDING}. Name a whole model of Mistral's, Mixtral's or Llama's kind.")
    if shape[0] != pieces + padding:
        stated = f" (expected {pieces + padding:,}: config.json states {padding:,} padding rows)" if padding else ""
        raise TokenizerMismatch(
            f"{folder}: the tokenizer has {pieces:,} pieces but the embedding has {shape[0]:,} rows{stated}. "
            "Take both from the same stage: run `dvc repro expand`, or point the input at a matching model."
        )
