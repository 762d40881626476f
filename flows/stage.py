"""Reproduces one DVC stage: `python -m flows.stage STAGE PIPE`, in the workspace, as the leader of a process group.

DVC says what it did by fixed log templates; they are matched whole, and a test pins them.
"""

import contextlib
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from components.errors import MartletError
from flows.pipeline import StageFailed, quiet_dvc
from flows.results.damage import hash_objects
from flows.results.digests import FileDigests
from flows.results.outcome import Outcome, StageResult
from infra.disk import user_message
from infra.git import forget_variables
from infra.settings import Settings

# templates of dvc 3.67
OUTCOMES: dict[str, Outcome] = {
    "Running stage '%s':": "ran",
    "Stage '%s' is cached - skipping run, checking out outputs": "restored",
    "Stage '%s' didn't change, skipping": "unchanged",
}
JOURNAL = Path("journal")
GRACE_SECONDS = 45
LONGEST_ERROR = 16_000  # characters: fits into a pipe even if nobody reads


class OutcomeProbe(logging.Handler):
    """Learns the outcome from DVC's log."""

    outcome: Outcome | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Remembers the last template that says the outcome."""
        self.outcome = OUTCOMES.get(str(record.msg), self.outcome)


def main(stage: str, pipe: int) -> int:
    """Reproduces the stage; writes a `StageResult` into the pipe (a full disk cannot stop that); returns the exit code."""
    forget_variables()
    signal.signal(signal.SIGTERM, terminate_group)
    signal.signal(signal.SIGINT, terminate_group)
    clock = time.monotonic()
    outcome: Outcome | None = None
    error = ""
    try:
        JOURNAL.mkdir(exist_ok=True)
        outcome = reproduce(stage)
    except Exception as failure:
        message = user_message(failure, Settings())
        if message is None:
            raise
        error = message[:LONGEST_ERROR]
    seconds = round(time.monotonic() - clock, 3)
    result = StageResult(outcome=outcome or "failed", error=error, seconds=seconds)
    with os.fdopen(pipe, "w", encoding="utf-8") as stream:
        stream.write(result.model_dump_json())
    return 0 if outcome else 1


def reproduce(stage: str) -> Outcome:
    """DVC's outcome. Raises `StageFailed` with the message of what went wrong."""
    quiet_dvc()
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    probe = OutcomeProbe()
    logger = logging.getLogger("dvc")
    logger.handlers, logger.propagate = [probe], False
    logger.setLevel(logging.INFO)
    try:
        with contextlib.closing(Repo(".", _wait_for_lock=True)) as repo:
            hash_objects(repo.cache.local, FileDigests(Settings().home.absolute()))
            done = repo.reproduce(targets=[stage], single_item=True)
    except (DvcException, OSError) as error:
        raise StageFailed(own_words(stage, error)) from error
    return probe.outcome or ("ran" if done else "unchanged")


def own_words(stage: str, error: BaseException) -> str:
    """The stage's message if it left one, otherwise DVC's, with its causes."""
    message = JOURNAL / f"{stage}.error"
    if message.exists():
        return message.read_text(encoding="utf-8").strip()
    words = []
    cause: BaseException | None = error
    while cause is not None:
        words.append(str(cause))
        cause = cause.__cause__
    return f"{stage}: " + ": ".join(words)


def terminate_group(_number: int, _frame: FrameType | None) -> None:
    """Passes SIGTERM on to the whole group, so that a trainer can checkpoint; kills what is left after the grace period."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGKILL))
    signal.alarm(GRACE_SECONDS)
    os.killpg(0, signal.SIGTERM)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], int(sys.argv[2])))
    except MartletError as problem:
        sys.exit(f"error: {problem}")
