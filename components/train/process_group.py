"""Opens the process group that connects the ranks of a training, and names the device on which each of them computes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import deepspeed
import deepspeed.ops
import torch
import torch.distributed as dist

from components.ranks.place import RankPlace

COLLECTIVE_TIMEOUT = timedelta(minutes=30)
"""A rank that hangs for this long ends the run; a step, a checkpoint and an export must each take less."""


@contextmanager
def open_process_group() -> Iterator[None]:
    """Joins the other ranks at MARTLET_RENDEZVOUS, and makes torch deterministic."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    place, backend = RankPlace.of_this_process(), "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank)
        backend = "nccl"
    rendezvous = os.environ["MARTLET_RENDEZVOUS"]
    dist.init_process_group(
        backend, init_method=rendezvous, rank=place.rank, world_size=place.ranks, timeout=COLLECTIVE_TIMEOUT
    )
    # an operator for inference only; compiling it here would take over a minute
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)
    yield
    dist.barrier()
    dist.destroy_process_group()


def device() -> torch.device:
    """The device on which this rank computes."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
