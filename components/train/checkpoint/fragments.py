"""Reads and writes a checkpoint's weights and moments: one safetensors file for each rank that writes, read by any rank.

A file holds fragments: ranges of flattened parameters. A tensor's name in it is `<kind>:<first value>:<parameter>`, so each
file says by itself what it holds, and a checkpoint can be read by another number of ranks than wrote it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from components.errors import CheckpointRefused
from components.models.dtypes import DTYPES
from components.models.safetensors_stream import Content, Tensor, read_header, write_safetensors

TORCH_DTYPES: dict[str, torch.dtype] = {name: getattr(torch, dtype.torch) for name, dtype in DTYPES.items() if dtype.precisions}
NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}


@dataclass(frozen=True)
class Fragment:
    """The values of a flattened parameter from `start` on, of one kind: its weights, or one of their moments."""

    kind: str
    parameter: str
    start: int
    values: torch.Tensor

    @property
    def name(self) -> str:
        """The tensor's name in the file."""
        return f"{self.kind}:{self.start}:{self.parameter}"


def write_fragments(path: Path, fragments: Sequence[Fragment]) -> None:
    """Writes the fragments in the order given. Only those on an accelerator are copied, one at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = [
        Content(fragment.name, NAMES[values.dtype], tuple(values.shape), values.nbytes, bytes_of(values))
        for fragment in fragments
        for values in [fragment.values]
    ]
    write_safetensors(path, contents, {"format": "pt"})


def bytes_of(values: torch.Tensor) -> Iterator[memoryview]:
    """The tensor's bytes, read only when they are asked for."""
    yield values.detach().cpu().contiguous().view(torch.uint8).numpy().data


class FragmentFiles:
    """Reads from the files of a checkpoint, however many ranks wrote them."""

    def __init__(self, folder: Path) -> None:
        """Reads the files' headers."""
        self.folder = folder
        self._places: dict[tuple[str, str], list[tuple[int, Tensor]]] = defaultdict(list)
        for path in sorted(folder.glob("*.safetensors")):
            for tensor in read_header(path).tensors:
                kind, start, parameter = tensor.name.split(":", 2)
                self._places[kind, parameter].append((int(start), tensor))
        for places in self._places.values():
            places.sort(key=lambda place: place[0])

    def read(self, kind: str, parameter: str, start: int, count: int) -> torch.Tensor:
        """`count` values from `start` on, in host memory. Raises `CheckpointRefused` unless the files hold all of them."""
        pieces, position, end = [], start, start + count
        for first, tensor in self._places[kind, parameter]:
            until = min(end, first + tensor.shape[0])
            if first <= position < until:
                pieces.append(read_values(tensor, position - first, until - position))
                position = until
        if position < end:
            raise CheckpointRefused(
                f"{self.folder} holds {position - start:,} of {count:,} values of {parameter} ({kind}) from {start:,} on. "
                f"It is not a checkpoint of this model: remove {self.folder.parent}."
            )
        return torch.cat(pieces)


def read_values(tensor: Tensor, first: int, count: int) -> torch.Tensor:
    """`count` values of a stored tensor."""
    dtype = TORCH_DTYPES[tensor.dtype]
    raw = np.fromfile(tensor.file, np.uint8, count * dtype.itemsize, offset=tensor.offset + first * dtype.itemsize)
    return torch.from_numpy(raw).view(dtype)
