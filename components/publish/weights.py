"""Copies a model's safetensors files into shards of a given size, byte for byte.

It works on the files alone, with memory for one block: a 90 GB model needs neither torch nor 90 GB of memory.
"""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from components.errors import InputError
from components.formats.files import write_json
from components.models.folder import INDEX
from components.models.safetensors_stream import Tensor, copied, read_header, write_safetensors

METADATA = {"format": "pt"}


def release_weights(source: Path, target: Path, maximum_shard_bytes: int) -> None:
    """Copies the weights, in new shards if a file is larger than the limit. A tensor is never cut in two."""
    files = sorted(source.glob("*.safetensors"))
    if not files:
        raise InputError(f"{source} holds no *.safetensors. Name the output of `train`, or run `dvc repro train`.")
    if all(path.stat().st_size <= maximum_shard_bytes for path in files):
        for path in [*files, *source.glob(INDEX)]:
            shutil.copyfile(path, target / path.name)
        return
    write_shards(target, split([tensor for path in files for tensor in read_header(path).tensors], maximum_shard_bytes))


def split(tensors: Sequence[Tensor], maximum_bytes: int) -> list[list[Tensor]]:
    """The tensors in the order given, in shards of at most `maximum_bytes` each (a larger tensor stands alone)."""
    shards: list[list[Tensor]] = []
    room = 0
    for tensor in tensors:
        if tensor.size > room:
            shards.append([])
            room = maximum_bytes
        shards[-1].append(tensor)
        room -= tensor.size
    return shards


def write_shards(target: Path, shards: Sequence[Sequence[Tensor]]) -> None:
    """Writes `model-00001-of-0000N.safetensors` and the index that transformers reads."""
    names = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        write_safetensors(target / name, [copied(tensor) for tensor in shard], METADATA)
    where = {tensor.name: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
    total = sum(tensor.size for shard in shards for tensor in shard)
    parameters = sum(math.prod(tensor.shape) for shard in shards for tensor in shard)
    weight_map = dict(sorted(where.items()))
    write_json(target / INDEX, {"metadata": {"total_parameters": parameters, "total_size": total}, "weight_map": weight_map})
