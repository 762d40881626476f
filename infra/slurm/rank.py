"""`python -m infra.slurm.rank FOLDER MODULE ARGUMENT…`: one task of a job becomes one rank of a worker module.

It says to the module in the usual words (RANK, WORLD_SIZE, …) which rank it is, and leaves a note below FOLDER as it begins,
and one where the module fails: Slurm itself tells only that some task ended, and with which code.
"""

import os
import runpy
import sys
import time
from pathlib import Path

from components.formats.files import write_json

CONNECTION = ("gloo", "nccl", "connection", "socket", "timed out", "timeout", "peer")
"""Words of an error that another rank's end causes."""
LONGEST_WORDS = 4_000


def main(folder: Path, module: str, arguments: list[str]) -> None:
    """Runs the module as `__main__`, in this process."""
    os.environ |= rank_variables()
    (folder / "begun" / os.environ["RANK"]).touch()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code not in (0, None):
            leave_note(folder, "exit", end.code if isinstance(end.code, str) else f"exit code {end.code}", lost=False)
        raise
    except BaseException as error:
        words = f"{type(error).__name__}: {error}"
        leave_note(folder, type(error).__name__, words, lost=any(word in words.lower() for word in CONNECTION))
        raise


def rank_variables() -> dict[str, str]:
    """Slurm's variables of a task, in the words of `torch.distributed`."""
    names = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}
    local = os.environ["SLURM_STEP_TASKS_PER_NODE"].partition("(")[0].partition(",")[0]
    return {name: os.environ[slurm] for name, slurm in names.items()} | {"LOCAL_WORLD_SIZE": local}


def leave_note(folder: Path, kind: str, words: str, *, lost: bool) -> None:
    """Writes why this rank ended; `lost`: because it could not reach another."""
    note = {
        "rank": int(os.environ["RANK"]), "node": os.environ["SLURMD_NODENAME"], "kind": kind, "words": words[:LONGEST_WORDS],
        "lost": lost, "time": time.time(),
    }  # fmt: skip
    write_json(folder / "failures" / f"rank-{note['rank']}.json", note)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
