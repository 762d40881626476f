"""`python -m infra.slurm.rank FOLDER MODULE ARGUMENT…`: runs one of Slurm's tasks as one rank of a worker module."""

import os
import sys

from infra.scheduler.in_job.rank import run_rank


def rank_variables() -> dict[str, str]:
    """Slurm's variables of a task, under the names of `torch.distributed`."""
    names = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}
    local = os.environ["SLURM_STEP_TASKS_PER_NODE"].partition("(")[0].partition(",")[0]
    return {name: os.environ[slurm] for name, slurm in names.items()} | {"LOCAL_WORLD_SIZE": local}


if __name__ == "__main__":
    run_rank(sys.argv[1:], rank_variables(), os.environ["SLURMD_NODENAME"])
