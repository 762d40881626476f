"""Decides which ranks measure and on which GPUs, from the GPUs that each rank sees and the size of the model's weights.

If a model does not fit on one GPU, some ranks of a node stay idle and the others take their GPUs: the same site measures a 7B
model on each GPU and a 47B model on several.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.errors import InputError
from components.ranks.place import RankPlace

FILLED = 0.8
"""The most of a GPU's memory that weights may take: the rest is for activations, caches and the driver."""
GIB = 1024**3


@dataclass(frozen=True)
class DeviceAssignment:
    """The devices of one measuring rank, as torch names them, and its number among all `assignments`."""

    number: int
    assignments: int
    devices: tuple[str, ...]


def assign_devices(place: RankPlace, gpu_bytes: Sequence[int], weights: int) -> DeviceAssignment | None:
    """The assignment of a rank that sees GPUs of this memory; None if the rank stays idle and another takes its GPUs.

    Without a GPU every rank uses the CPU. Raises `InputError` if all GPUs that a rank sees cannot hold `weights` (in bytes).
    """
    gpus = len(gpu_bytes)
    if not gpus:
        return DeviceAssignment(place.rank, place.ranks, ("cpu",))
    needed = gpus_for(weights, gpu_bytes)
    if needed == 1:
        return DeviceAssignment(place.rank, place.ranks, (f"cuda:{place.local_rank % gpus}",))
    sizes = [size for size in range(1, place.local_ranks + 1) if place.local_ranks % size == 0]
    together = next(size for size in sizes if gpus * size // place.local_ranks >= needed)
    if place.local_rank % together:
        return None
    width = gpus * together // place.local_ranks
    first = place.local_rank // together * width
    return DeviceAssignment(
        place.rank // together, place.ranks // together, tuple(f"cuda:{gpu}" for gpu in range(first, first + width))
    )


def gpus_for(weights: int, gpu_bytes: Sequence[int]) -> int:
    """How many GPUs are needed for weights of this many bytes. Raises `InputError` if there are too few."""
    for count in range(1, len(gpu_bytes) + 1):
        if weights <= FILLED * min(gpu_bytes) * count:
            return count
    raise InputError(
        f"the model's weights are {weights / GIB:,.1f} GiB, and the {len(gpu_bytes)} GPUs that a rank of evaluate sees have "
        f"{sum(gpu_bytes) / GIB:,.1f} GiB, of which weights may take {FILLED:.0%}. Give evaluate more GPUs of one node; with "
        "Slurm, let each task see all of them (no --gpus-per-task or --gpu-bind)."
    )


def largest_weights(folders: Iterable[Path]) -> int:
    """Bytes of the largest model's weights on disk."""
    return max(sum(path.stat().st_size for path in folder.glob("*.safetensors")) for folder in folders)
