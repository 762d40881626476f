"""One rank's step in, what the line of metrics says beyond the loss out: losses by source, waiting, memory, work done.

Every rank's numbers travel in the one vector that the step adds up over the ranks anyway.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from components.base.model_summary import ModelSummary
from components.base.usage import significant
from components.models.summary import shape_of
from components.tokenizers.piece_bytes import read_piece_bytes
from components.train.flops import step_flops
from components.train.metrics import Line
from components.train.request import TrainingRequest

MEBIBYTE = 2**20


def by_source(by_sample: torch.Tensor, sources: Sequence[int], count: int) -> torch.Tensor:
    """Rows of samples added up as rows of `count` sources; a sample's source is its number in the mixture."""
    places = torch.tensor(sources, device=by_sample.device)
    return by_sample.new_zeros(count, by_sample.shape[1]).index_add(0, places, by_sample)


class TextCount:
    """The bytes of text that a training has seen, of all ranks together: what trainings with different tokenizers share.

    Counted are a window's targets, `tokens[1:]`, whether or not a loss is taken of each: neighbouring windows share one token,
    and so every token of a source but its first counts exactly once a pass. BOS and EOS are no text. What else a piece is worth
    in bytes is in `components.tokenizers.piece_bytes`. Whole numbers far below 2⁵³, so that sums over ranks are exact.
    """

    def __init__(self, scratch: Path, device: torch.device, lines: Sequence[Line]) -> None:
        """Goes on after `lines`; where an older version wrote the last of them, without bytes, the sum is not known."""
        self.sizes = torch.from_numpy(read_piece_bytes(scratch)).to(device)
        self.total: int | None = lines[-1].get("bytes") if lines else 0

    def share(self, batches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Of this rank's micro-batches of a step, (samples, sequence + 1) tokens each: their bytes, as (1) in fp64."""
        return torch.stack([self.sizes[tokens[:, 1:]].sum() for tokens in batches]).sum().double().reshape(1)

    def facts(self, step_bytes: int) -> Line:
        """Of a step, once: its bytes over all ranks, and with those of all steps before it."""
        if self.total is None:
            return {"step_bytes": step_bytes}
        self.total += step_bytes
        return {"bytes": self.total, "step_bytes": step_bytes}


class StepMetrics:
    """Knows what a step of this run costs, and how to read what the ranks added up."""

    def __init__(self, request: TrainingRequest, config: Any, sources: Sequence[str], rank: int, processes: int) -> None:
        """`config` is the model's, `sources` are the mixture's texts in their order."""
        training = request.training
        self.sources, self.rank, self.processes = sources, rank, processes
        self.peak_tflops = request.accelerator_tflops
        summary = ModelSummary(vocabulary=config.vocab_size, shape=shape_of(config.to_dict()))
        self.flops = (
            step_flops(summary, training.sequence_length, training.global_batch_size) if summary.shape is not None else None
        )

    def tally(self, device: torch.device) -> torch.Tensor:
        """Nothing seen yet, (sources, 2): the sum of losses in nats and the targets."""
        return torch.zeros(len(self.sources), 2, dtype=torch.float64, device=device)

    def vector(self, tally: torch.Tensor, waited: float) -> torch.Tensor:
        """The tally, and in this rank's own places the seconds that it waited for data and the bytes that it held."""
        own = torch.zeros(2, self.processes, dtype=torch.float64)
        own[:, self.rank] = torch.tensor([waited, peak_memory()])
        return torch.cat([tally.flatten(), own.flatten().to(tally.device)])

    def facts(self, vector: Sequence[float], seconds: float) -> Line:
        """What the sum of the ranks' vectors says: the mean loss by source, and of waiting and memory the worst rank's."""
        places = 2 * len(self.sources)
        pairs = zip(self.sources, vector[:places:2], vector[1:places:2], strict=True)
        return {
            "source_loss": {name: loss / targets for name, loss, targets in pairs if targets},
            "data_seconds": round(max(vector[places:][: self.processes]), 6),
            "peak_memory_mib": round(max(vector[places:][self.processes :]) / MEBIBYTE, 1),
            **self.work(seconds),
        }

    def work(self, seconds: float) -> Line:
        """Operations a second and process in 1e12, and their share of what the accelerator could do, where that is known."""
        if self.flops is None:
            return {}
        tflops = self.flops / seconds / self.processes / 1e12
        share = {} if self.peak_tflops is None else {"mfu": significant(tflops / self.peak_tflops)}
        return {"tflops_per_process": significant(tflops), **share}


def peak_memory() -> int:
    """Bytes: on a GPU the most that torch had allocated, else the most that this process had resident.

    The kernel's VmHWM, not `ru_maxrss`: that one begins at what the parent held when it started this process.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel states no VmHWM")
