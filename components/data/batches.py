"""Says which samples each step and rank takes, and which takes a sample: the same global batch at any number of processes.

Batches are numbered in the order of the data: batch b is samples b · size to (b + 1) · size - 1. Update s is made with
batch s, or with a later one if batches are skipped. No step takes a skipped batch; the batches after it keep their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from components.errors import ParameterError

Skipped = Sequence[tuple[int, int]]
"""Ranges of batches that no step takes, by their first and last number, in rising order and apart from each other."""


def batch_at(step: int, skipped: Skipped) -> int:
    """The number of the global batch that update `step` (from 0) is made with."""
    batch = step
    for first, last in skipped:
        if batch < first:
            break
        batch += last - first + 1
    return batch


def step_at(batch: int, skipped: Skipped) -> int | None:
    """The update that is made with a global batch; None if none is. The inverse of `batch_at`."""
    if any(first <= batch <= last for first, last in skipped):
        return None
    return batch - sum(last - first + 1 for first, last in skipped if last < batch)


@dataclass(frozen=True)
class SamplePosition:
    """Which global batch has a sample, which rank takes it, and as which of the rank's samples of that batch (from 0)."""

    batch: int
    rank: int
    position: int


@dataclass(frozen=True)
class BatchPlan:
    """How a global batch is dealt out: `global_batch_size = micro_batch_size × processes × accumulation`."""

    global_batch_size: int
    micro_batch_size: int
    processes: int

    def check(self, site: str) -> None:
        """Raises `ParameterError`, naming the site, unless whole micro-batches fill the global batch."""
        share = self.micro_batch_size * self.processes
        if self.global_batch_size % share:
            raise ParameterError(
                f"global_batch_size {self.global_batch_size:,} is not a multiple of {share:,}: site {site!r} has "
                f"train_processes {self.processes:,} × train_micro_batch_size {self.micro_batch_size:,}. "
                f"Lower one of the two in infra/sites/{site}.yaml (that changes no result), or change the batch."
            )

    @property
    def accumulation(self) -> int:
        """Micro-batches that each process adds up before an update."""
        return self.global_batch_size // (self.micro_batch_size * self.processes)

    def samples(self, batch: int, rank: int) -> list[range]:
        """The sample numbers of each of the rank's micro-batches; over all ranks, `global_batch_size` in a row."""
        first = batch * self.global_batch_size
        starts = (
            first + (turn * self.processes + rank) * self.micro_batch_size for turn in range(self.accumulation)
        )
        return [range(start, start + self.micro_batch_size) for start in starts]

    def position_of(self, sample: int) -> SamplePosition:
        """Where a sample sits. The inverse of `samples`."""
        batch, place = divmod(sample, self.global_batch_size)
        micro_batch, within = divmod(place, self.micro_batch_size)
        turn, rank = divmod(micro_batch, self.processes)
        return SamplePosition(batch, rank, turn * self.micro_batch_size + within)
