"""Writes a model folder again with more rows in embedding and head: one for each new piece, then padding.

Shard by shard and block by block: the memory taken is a few blocks, whatever the model's size.
"""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from components.errors import InputError, TokenizerMismatch
from components.expand.embeddings.initialise import Initialisation
from components.expand.embeddings.rows import ROWS_AT_ONCE, Matrix, RowStarter, global_mean, row_starter
from components.formats.files import write_json
from components.models.dtypes import DTYPES
from components.models.float_conversion import Vector, encode
from components.models.folder import EMBEDDING, HEAD, INDEX, PADDING_ROWS, read_config, weight_files, weight_map
from components.models.safetensors_stream import Content, Tensor, copied, read_blocks, read_header, write_safetensors


@dataclass(frozen=True)
class Rows:
    """What the enlarged matrices hold: the base pieces' rows, a row for each new piece, padding."""

    base_pieces: int
    """Rows of the base after these are its padding, and dropped."""
    subpieces: Sequence[Sequence[int]]
    """For each new piece, the base ids that its text splits into; at least one."""
    padding_rows: int
    initialise: Initialisation
    seed: int

    @property
    def pieces(self) -> int:
        """How many ids the tokenizer has afterwards."""
        return self.base_pieces + len(self.subpieces)

    @property
    def total(self) -> int:
        """The matrices' height."""
        return self.pieces + self.padding_rows


def check_matrices(model: Path, pieces: int, base_padding_rows: int) -> None:
    """Raises `InputError` if embedding or head is missing or of a type that cannot be enlarged.

    Raises `TokenizerMismatch` unless each has a row for every piece and `base_padding_rows` more, and config.json says so too.
    """
    _check_index(model)
    config, matrices = read_config(model), find_matrices(model)
    needed = [EMBEDDING] if config.get("tie_word_embeddings", False) else [EMBEDDING, HEAD]
    if absent := [name for name in needed if name not in matrices]:
        hint = ", and config.json does not set tie_word_embeddings" if absent == [HEAD] else ""
        raise InputError(
            f"{model} holds no {' and no '.join(absent)}{hint}. Fetch the whole model again, or name one that is laid out as "
            "Mistral, Mixtral and Llama are."
        )
    for name, matrix in matrices.items():
        if matrix.dtype not in DTYPES or len(matrix.shape) != 2 or matrix.shape[1] != matrices[EMBEDDING].shape[1]:
            raise InputError(
                f"{matrix.file}: {name} is {matrix.dtype} {list(matrix.shape)}; expected {', '.join(DTYPES)} and the width of "
                "the embedding. Name the model in the precision it was trained in."
            )
    found = {"the embedding" if name == EMBEDDING else name: matrix.shape[0] for name, matrix in matrices.items()}
    for name, rows in found.items():
        _check_height(model, pieces, base_padding_rows, name, rows)
    if (stated := config.get("vocab_size")) != pieces + base_padding_rows:
        raise TokenizerMismatch(
            f"{model / 'config.json'} states vocab_size {stated!r}, but embedding and head have {pieces + base_padding_rows:,} "
            "rows. Take both from one release."
        )


def _check_index(model: Path) -> None:
    """Raises `InputError` unless each tensor of the index lies in the shard that is stated, and the matrices in no other."""
    held = {name: {tensor.name for tensor in read_header(model / name).tensors} for name in weight_files(model)}
    for tensor, name in weight_map(model).items():
        shards = [shard for shard, tensors in held.items() if tensor in tensors]
        if name not in shards or (tensor in (EMBEDDING, HEAD) and len(shards) > 1):
            raise InputError(
                f"{model / INDEX}: {tensor} was expected in {name} and found in {', '.join(shards) or 'no shard'}. "
                "Fetch the index and the shards again, from one release."
            )


def _check_height(model: Path, pieces: int, base_padding_rows: int, name: str, rows: int) -> None:
    """Raises `TokenizerMismatch` unless the matrix has a row for every piece and the padding rows that were stated."""
    if rows == pieces + base_padding_rows:
        return
    remedy = "Take both from one release"
    if rows >= pieces:
        remedy += f", or, if its last {rows - pieces:,} rows are padding, set expand.base_padding_rows: {rows - pieces}"
    padding = f", and expand.base_padding_rows is {base_padding_rows:,}" if base_padding_rows else ""
    raise TokenizerMismatch(
        f"{model}: the tokenizer has {pieces:,} pieces but {name} has {rows:,} rows{padding}: "
        f"expected {pieces + base_padding_rows:,}. {remedy}."
    )


def enlarge(model: Path, output: Path, rows: Rows) -> None:
    """Writes weights, config.json and index of the model with `rows` in embedding and head.

    Old rows and every other tensor keep their bytes; shards keep their names, and those without these two are plain copies.
    Raises `InputError` if a new row would hold numbers that are not finite.
    """
    output.mkdir(parents=True, exist_ok=True)
    config, grown = read_config(model), list[tuple[Tensor, Content]]()
    for name in weight_files(model):
        grown += _write_shard(model / name, output / name, config, rows)
    config.pop(PADDING_ROWS, None)
    padding = {PADDING_ROWS: rows.padding_rows} if rows.padding_rows else {}
    write_json(output / "config.json", config | {"vocab_size": rows.total} | padding)
    if (model / "generation_config.json").exists():
        shutil.copyfile(model / "generation_config.json", output / "generation_config.json")
    if (model / INDEX).exists():
        _write_index(model, output, grown)


def find_matrices(model: Path) -> dict[str, Tensor]:
    """Where the model's embedding and head lie, as far as there are any, the embedding first."""
    tensors = (tensor for name in weight_files(model) for tensor in read_header(model / name).tensors)
    found = {tensor.name: tensor for tensor in tensors if tensor.name in (EMBEDDING, HEAD)}
    return {name: found[name] for name in (EMBEDDING, HEAD) if name in found}


def _write_shard(source: Path, target: Path, config: dict[str, Any], rows: Rows) -> list[tuple[Tensor, Content]]:
    """Writes a shard with its matrices enlarged; returns those as they were and as they are."""
    header = read_header(source)
    matrices = [tensor for tensor in header.tensors if tensor.name in (EMBEDDING, HEAD)]
    if not matrices:
        shutil.copyfile(source, target)
        return []
    with source.open("rb") as stream:
        grown = {tensor.name: enlarged(matrix_of(tensor, stream, config, rows), rows) for tensor in matrices}
        contents = [grown.get(tensor.name) or copied(tensor) for tensor in header.tensors]
        write_safetensors(target, contents, header.metadata)
    return [(tensor, grown[tensor.name]) for tensor in matrices]


def matrix_of(tensor: Tensor, stream: BinaryIO, config: dict[str, Any], rows: Rows) -> Matrix:
    """The tensor in its role: a head that is tied to the embedding is the embedding once more."""
    output_only = tensor.name == HEAD and not config.get("tie_word_embeddings", False)
    return Matrix(
        tensor, stream, rows.base_pieces, number=int(output_only), last_weighs_most=not output_only,
        initializer_range=config.get("initializer_range"),
    )


def enlarged(matrix: Matrix, rows: Rows) -> Content:
    """The matrix with its new rows: the base rows' very bytes, then the new ones, made block by block as they are written."""
    tensor, size = matrix.tensor, matrix.row_bytes
    start = row_starter(matrix, rows.initialise, rows.seed)
    old = read_blocks(tensor.file, tensor.offset, rows.base_pieces * size)
    new = (_encoded(matrix, place, block) for place, block in _new_rows(matrix, rows, start))
    return Content(tensor.name, tensor.dtype, (rows.total, matrix.width), rows.total * size, chain(old, new))


def _new_rows(matrix: Matrix, rows: Rows, start: RowStarter) -> Iterator[tuple[int, Vector]]:
    """The rows after the base's, [some, width], and the number of each block's first."""
    for place in range(rows.base_pieces, rows.pieces, ROWS_AT_ONCE):
        numbers = range(place, min(place + ROWS_AT_ONCE, rows.pieces))
        yield place, np.stack([start(number, rows.subpieces[number - rows.base_pieces]) for number in numbers])
    if rows.padding_rows:
        # not zeros: a logit of 0 takes probability from pieces whose logits are below it
        mean = global_mean(matrix).astype(np.float32)
        for place in range(rows.pieces, rows.total):
            yield place, mean[np.newaxis]


def _encoded(matrix: Matrix, place: int, block: Vector) -> bytes:
    """The rows in the matrix's type. Raises `InputError` if one is not finite."""
    if not (finite := np.isfinite(block).all(axis=1)).all():
        row = place + int(np.argmin(finite))
        raise InputError(
            f"{matrix.tensor.file}: {matrix.tensor.name} holds numbers that are not finite, and new row {row:,} would start "
            "from them. Fetch the model again, or name one whose weights are whole."
        )
    return encode(block, matrix.tensor.dtype)


def _write_index(model: Path, output: Path, grown: Sequence[tuple[Tensor, Content]]) -> None:
    """The shards' index, its totals changed by what the matrices grew."""
    index = json.loads((model / INDEX).read_text(encoding="utf-8"))
    growth = {
        "total_size": sum(new.size - old.size for old, new in grown),
        "total_parameters": sum(math.prod(new.shape) - math.prod(old.shape) for old, new in grown),
    }
    for key in growth.keys() & index.get("metadata", {}).keys():
        index["metadata"][key] += growth[key]
    write_json(output / INDEX, index)
