"""Runs one task of a job as one rank of a worker module, which leaves a note when it begins, and another if it fails.

A scheduler itself tells only that some task ended, and with which code.
"""

import os
import runpy
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.formats.files import write_json

CONNECTION = ("gloo", "nccl", "connection", "socket", "timed out", "timeout", "peer")
"""Words of an error that another rank's end causes."""
LONGEST_WORDS = 4_000


def run_rank(command: Sequence[str], place: Mapping[str, str], node: str) -> None:
    """Runs a module as `__main__`, in this process; `command` is the job's folder, the module and its arguments.

    `place` says which rank this is in the words of `torch.distributed`: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE. `node`
    is the scheduler's name of the machine.
    """
    folder, (module, *arguments) = Path(command[0]), command[1:]
    os.environ |= place
    (folder / "begun" / place["RANK"]).touch()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code not in (0, None):
            words = end.code if isinstance(end.code, str) else f"exit code {end.code}"
            leave_note(folder, node, {"kind": "exit", "words": words, "lost": False})
        raise
    except BaseException as error:
        words = f"{type(error).__name__}: {error}"
        is_lost = any(word in words.lower() for word in CONNECTION)
        leave_note(folder, node, {"kind": type(error).__name__, "words": words, "lost": is_lost})
        raise


def leave_note(folder: Path, node: str, reason: Mapping[str, str | bool]) -> None:
    """Writes why this rank ended; `lost`: because it could not reach another. On a full disk, says it on standard error."""
    words = str(reason["words"])[:LONGEST_WORDS]
    note = {"rank": int(os.environ["RANK"]), "node": node, **reason, "words": words, "time": time.time()}
    try:
        write_json(folder / "failures" / f"rank-{note['rank']}.json", note)
    except OSError as error:
        sys.stderr.write(f"{words}\n(the job's folder could not take this note: {error})\n")
