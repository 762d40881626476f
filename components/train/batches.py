"""A step and a rank in, sample numbers out: the same global batch at any number of processes."""

from dataclasses import dataclass

from components.errors import ParameterError


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
                f"global_batch_size {self.global_batch_size:,} is no multiple of {share:,}: site {site!r} has "
                f"train_processes {self.processes:,} × train_micro_batch_size {self.micro_batch_size:,}. "
                f"Lower one of the two in infra/sites/{site}.yaml (that changes no result), or change the batch."
            )

    @property
    def accumulation(self) -> int:
        """Micro-batches that each process adds up before an update."""
        return self.global_batch_size // (self.micro_batch_size * self.processes)

    def samples(self, step: int, rank: int) -> list[range]:
        """The sample numbers of each of the rank's micro-batches; over all ranks, `global_batch_size` in a row."""
        first = step * self.global_batch_size
        starts = (
            first + (turn * self.processes + rank) * self.micro_batch_size for turn in range(self.accumulation)
        )
        return [range(start, start + self.micro_batch_size) for start in starts]
