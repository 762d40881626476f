"""A rank's place among all ranks, read from the environment that it was started with."""

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class RankPlace:
    """A rank among all, and among those of its node; ranks are numbered node by node."""

    rank: int
    ranks: int
    local_rank: int
    local_ranks: int

    @classmethod
    def of_this_process(cls) -> Self:
        """Reads the variables that `torch.distributed` reads."""
        return cls(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))
