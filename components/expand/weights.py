"""A model folder and the subpieces of its new pieces in, the same model with more embedding rows out, shard by shard."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from components.errors import InputError, TokenizerMismatch
from components.formats.files import write_json
from components.formats.models import INDEX, check_rows, read_config, tensor_shapes, weight_files

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def check_matrices(model: Path, pieces: int) -> None:
    """Raises `TokenizerMismatch` unless embedding and head have `pieces` rows, `InputError` where one is missing."""
    weight_files(model)
    check_rows(model, pieces)
    tied = read_config(model).get("tie_word_embeddings", False)
    rows = tensor_shapes(model).get(HEAD)
    if rows is None and not tied:
        raise InputError(
            f"{model} holds no {HEAD}, and config.json does not set tie_word_embeddings. Fetch the whole model again."
        )
    if rows is not None and rows[0] != pieces:
        raise TokenizerMismatch(
            f"{model}: the tokenizer has {pieces:,} pieces but {HEAD} has {rows[0]:,} rows. Take both from one release."
        )


def enlarge(model: Path, output: Path, subpieces: Sequence[Sequence[int]]) -> None:
    """Writes the model with one new row in embedding and head for each list of base ids: the mean of those rows.

    Old rows and every other tensor keep their bits; one shard is in memory at a time.
    """
    output.mkdir(parents=True, exist_ok=True)
    added = [tensor for name in weight_files(model) for tensor in _enlarge_shard(model / name, output / name, subpieces)]
    rows = tensor_shapes(output)[EMBEDDING][0]
    write_json(output / "config.json", read_config(model) | {"vocab_size": rows})
    if (model / "generation_config.json").exists():
        shutil.copyfile(model / "generation_config.json", output / "generation_config.json")
    if (model / INDEX).exists():
        _write_index(model, output, added)


def enlarged(matrix: torch.Tensor, subpieces: Sequence[Sequence[int]]) -> torch.Tensor:
    """[n, d] and k lists of row numbers in, [n + k, d] out: means taken in float32, rounded once to the matrix's type."""
    # added row by row, not by torch.mean: whose order of summation, and so last bit, is the machine's
    means = [sum((matrix[row].float() for row in rows[1:]), matrix[rows[0]].float()) / len(rows) for rows in subpieces]
    return torch.cat([matrix, torch.stack(means).to(matrix.dtype)])


def _enlarge_shard(source: Path, target: Path, subpieces: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Copies a shard, with its matrices of one row a piece enlarged; returns the new rows, a tensor for each matrix."""
    with safe_open(source, framework="pt") as shard:
        names = set(shard.keys())
        if not names & {EMBEDDING, HEAD}:
            shutil.copyfile(source, target)
            return []
        metadata, tensors = shard.metadata(), {name: shard.get_tensor(name) for name in sorted(names)}
    added = []
    for name in sorted(names & {EMBEDDING, HEAD}):
        tensors[name] = enlarged(tensors[name], subpieces)
        added.append(tensors[name][-len(subpieces):])
    save_file(tensors, target, metadata=metadata)
    return added


def _write_index(model: Path, output: Path, added: Sequence[torch.Tensor]) -> None:
    """The shards' index, its totals raised by the new rows."""
    index = json.loads((model / INDEX).read_text(encoding="utf-8"))
    growth = {"total_size": sum(rows.nbytes for rows in added), "total_parameters": sum(rows.numel() for rows in added)}
    for key in growth.keys() & index.get("metadata", {}).keys():
        index["metadata"][key] += growth[key]
    write_json(output / INDEX, index)
