"""What a step's line of metrics says besides the loss: losses by source, bytes of text, waiting, memory and work.

The numbers of all ranks travel in the one vector that a step sums over the ranks anyway.
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
    """Sums rows of samples into rows of `count` sources; `sources` gives each sample's source by its number in the mixture."""
    places = torch.tensor(sources, device=by_sample.device)
    return by_sample.new_zeros(count, by_sample.shape[1]).index_add(0, places, by_sample)


class TextCount:
    """Counts the bytes of text that all ranks of a training have seen: a measure that does not depend on the tokenizer.

    A window's targets, `tokens[1:]`, are counted, whether or not they count in the loss: neighbouring windows share one token,
    so every token of a source except its first counts exactly once in a pass. BOS and EOS are not text. How many bytes any
    other piece stands for is in `components.tokenizers.piece_bytes`. Sums over ranks are exact: they stay far below 2⁵³.
    """

    def __init__(self, scratch: Path, device: torch.device, lines: Sequence[Line]) -> None:
        """Continues the sum of `lines`. It is not known if an older version, without bytes, wrote the last of them."""
        self.sizes = torch.from_numpy(read_piece_bytes(scratch)).to(device)
        self.total: int | None = lines[-1].get("bytes") if lines else 0

    def share(self, batches: Sequence[torch.Tensor]) -> torch.Tensor:
        """The bytes of this rank's micro-batches of a step, (samples, sequence + 1) tokens each; shape (1), fp64."""
        return torch.stack([self.sizes[tokens[:, 1:]].sum() for tokens in batches]).sum().double().reshape(1)

    def facts(self, step_bytes: int) -> Line:
        """The bytes of a step over all ranks, and those of all steps so far; to be called once for each step."""
        if self.total is None:
            return {"step_bytes": step_bytes}
        self.total += step_bytes
        return {"bytes": self.total, "step_bytes": step_bytes}


class StepMetrics:
    """Knows the operations of a step, and how to read the vector that is summed over the ranks."""

    def __init__(self, request: TrainingRequest, config: Any, sources: Sequence[str], rank: int, processes: int) -> None:
        """`config` is the model's configuration, `sources` are the mixture's texts in their order."""
        training = request.training
        self.sources, self.rank, self.processes = sources, rank, processes
        self.peak_tflops = request.accelerator_tflops
        summary = ModelSummary(vocabulary=config.vocab_size, shape=shape_of(config.to_dict()))
        self.flops = (
            step_flops(summary, training.sequence_length, training.global_batch_size) if summary.shape is not None else None
        )

    def tally(self, device: torch.device) -> torch.Tensor:
        """An empty tally, (sources, 2): the sum of losses in nats, and the number of targets."""
        return torch.zeros(len(self.sources), 2, dtype=torch.float64, device=device)

    def vector(self, tally: torch.Tensor, waited: float) -> torch.Tensor:
        """The tally, then in this rank's own places the seconds that it waited for data and the bytes that it held."""
        own = torch.zeros(2, self.processes, dtype=torch.float64)
        own[:, self.rank] = torch.tensor([waited, peak_memory()])
        return torch.cat([tally.flatten(), own.flatten().to(tally.device)])

    def facts(self, vector: Sequence[float], seconds: float) -> Line:
        """Reads the sum of the ranks' vectors: the mean loss by source, and the waiting and memory of the worst rank."""
        places = 2 * len(self.sources)
        pairs = zip(self.sources, vector[:places:2], vector[1:places:2], strict=True)
        return {
            "source_loss": {name: loss / targets for name, loss, targets in pairs if targets},
            "data_seconds": round(max(vector[places:][: self.processes]), 6),
            "peak_memory_mib": round(max(vector[places:][self.processes :]) / MEBIBYTE, 1),
            **self.work(seconds),
        }

    def work(self, seconds: float) -> Line:
        """1e12 operations per second and process, and their share of the accelerator's peak, if that is known."""
        if self.flops is None:
            return {}
        tflops = self.flops / seconds / self.processes / 1e12
        share = {} if self.peak_tflops is None else {"mfu": significant(tflops / self.peak_tflops)}
        return {"tflops_per_process": significant(tflops), **share}


def peak_memory() -> int:
    """The most bytes that torch had allocated on a GPU, or without a GPU the most that this process had resident.

    Resident memory is the kernel's VmHWM: `ru_maxrss` begins at what the parent held when it started this process.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel states no VmHWM")
