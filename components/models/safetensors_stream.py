"""Reads where a safetensors file's tensors lie, and writes such a file from tensors that come as blocks of bytes.

No tensor is ever held in memory. The layout is the library's own: eight bytes with the length of a JSON header, the header
padded with spaces to a multiple of eight, then the tensors without a gap, in the order of the header.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.errors import InputError
from components.formats.disk import naming

BLOCK = 1 << 23


@dataclass(frozen=True)
class Tensor:
    """Where a tensor's bytes lie."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    """From the beginning of the file."""
    size: int
    """In bytes."""


@dataclass(frozen=True)
class Content:
    """A tensor to write: what the header says of it, and its bytes in blocks."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    """In bytes."""
    blocks: Iterable[bytes | memoryview]


@dataclass(frozen=True)
class Header:
    """A file's tensors in the order of their bytes, and its metadata, if any."""

    tensors: tuple[Tensor, ...]
    metadata: dict[str, str] | None


def read_header(path: Path) -> Header:
    """What the file says of its tensors. Raises `InputError` if it is of another kind or cut off."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):  # the library judges lengths, offsets and shapes; it reads the header alone
            pass
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file ({error}). Fetch or write it again.") from None
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        entries = json.loads(stream.read(length))
    metadata = entries.pop("__metadata__", None)
    tensors = [
        Tensor(name, entry["dtype"], tuple(entry["shape"]), path, 8 + length + begin, end - begin)
        for name, entry in entries.items()
        for begin, end in [entry["data_offsets"]]
    ]
    return Header(tuple(sorted(tensors, key=lambda tensor: (tensor.offset, tensor.size))), metadata)


def read_blocks(path: Path, offset: int, size: int) -> Iterator[bytes]:
    """`size` bytes of the file from `offset` on; opened when asked for. Raises `InputError` if it ends before."""
    with path.open("rb") as stream:
        stream.seek(offset)
        while size:
            block = stream.read(min(BLOCK, size))
            if not block:
                raise InputError(f"{path} ended {size:,} bytes early: it was changed while it was read. Start again.")
            size -= len(block)
            yield block


def copied(tensor: Tensor) -> Content:
    """The tensor as it is."""
    blocks = read_blocks(tensor.file, tensor.offset, tensor.size)
    return Content(tensor.name, tensor.dtype, tensor.shape, tensor.size, blocks)


def write_safetensors(path: Path, tensors: Sequence[Content], metadata: dict[str, str] | None) -> None:
    """Writes the file, tensors in the order given; byte for byte what the library would write of them in that order."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.size
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with naming(path), path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            written = sum(stream.write(block) for block in tensor.blocks)
            assert written == tensor.size, f"{tensor.name}: {written} bytes, promised {tensor.size}"
