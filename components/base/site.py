"""What a site lets a stage use: processes, batch sizes and kernels, none of which changes a result."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Site:
    """How much of this machine or cluster a stage may use; nothing here changes a result."""

    name: str
    workers: int
    clean_processes: int
    train_processes: int
    train_micro_batch_size: int
    threads_per_process: int
    evaluate_batch_size: int
    evaluate_processes: int
    attention_implementation: Literal["sdpa", "flash_attention_2", "eager"]
    compile: bool
    """Whether training goes through `torch.compile`."""
    fused_kernels: bool
    """Whether training uses Liger's kernels."""
    asynchronous_checkpoints: bool
    """Whether training continues while a checkpoint is written, which takes the checkpoint's size in host memory."""
    accelerator_tflops: float | None
    """What one accelerator could do at its best in bf16, in 1e12 operations a second; None if not known, as for a CPU."""
