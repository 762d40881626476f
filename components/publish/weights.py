"""Safetensors files in, the same tensors in shards of a given size out; bytes are copied and never computed with.

Works on the files alone, with the memory of one block: a 90 GB model needs no torch and no 90 GB.
"""

import json
import math
import shutil
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from components.errors import InputError
from components.formats.files import write_json

BLOCK = 1 << 24
INDEX = "model.safetensors.index.json"
METADATA = {"format": "pt"}


@dataclass(frozen=True)
class Tensor:
    """Where a tensor's bytes lie."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    bytes: int


def release_weights(source: Path, target: Path, maximum_shard_bytes: int) -> None:
    """Copies the weights, in new shards where a file is larger than the limit. A tensor is never cut in two."""
    files = sorted(source.glob("*.safetensors"))
    if not files:
        raise InputError(f"{source} holds no *.safetensors. Name the output of `train`, or run `dvc repro train`.")
    if all(path.stat().st_size <= maximum_shard_bytes for path in files):
        for path in [*files, *source.glob(INDEX)]:
            shutil.copyfile(path, target / path.name)
        return
    write_shards(target, split([tensor for path in files for tensor in read_tensors(path)], maximum_shard_bytes))


def read_tensors(path: Path) -> Iterator[Tensor]:
    """The tensors of one file, in the order of their bytes. Raises `InputError` where it is cut short."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, Any] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    for name, entry in sorted(header.items(), key=lambda pair: pair[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if 8 + length + end > size:
            raise InputError(f"{path} is cut short: {name} should end at byte {8 + length + end:,} of {size:,}. Copy it again.")
        yield Tensor(name, entry["dtype"], tuple(entry["shape"]), path, 8 + length + begin, end - begin)


def split(tensors: Sequence[Tensor], maximum_bytes: int) -> list[list[Tensor]]:
    """Shards in the order given, each of at most `maximum_bytes` (a larger tensor stands alone)."""
    shards: list[list[Tensor]] = []
    room = 0
    for tensor in tensors:
        if tensor.bytes > room:
            shards.append([])
            room = maximum_bytes
        shards[-1].append(tensor)
        room -= tensor.bytes
    return shards


def write_shards(target: Path, shards: Sequence[Sequence[Tensor]]) -> None:
    """Writes `model-00001-of-0000N.safetensors` and the index that transformers reads."""
    names = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        with (target / name).open("wb") as stream:
            write_shard(stream, shard)
    where = {tensor.name: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
    total = sum(tensor.bytes for shard in shards for tensor in shard)
    parameters = sum(math.prod(tensor.shape) for shard in shards for tensor in shard)
    weight_map = dict(sorted(where.items()))
    write_json(target / INDEX, {"metadata": {"total_parameters": parameters, "total_size": total}, "weight_map": weight_map})


def write_shard(stream: BinaryIO, tensors: Sequence[Tensor]) -> None:
    """One file: the header's length, the header padded to 8 bytes, the tensors' bytes."""
    header: dict[str, object] = {"__metadata__": METADATA}
    position = 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, position + tensor.bytes],
        }
        position += tensor.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    stream.write(struct.pack("<Q", len(text)) + text)
    for tensor in tensors:
        copy_bytes(tensor, stream)


def copy_bytes(tensor: Tensor, stream: BinaryIO) -> None:
    """The tensor's bytes, block by block."""
    with tensor.file.open("rb") as source:
        source.seek(tensor.offset)
        left = tensor.bytes
        while left:
            left -= stream.write(source.read(min(BLOCK, left)))
