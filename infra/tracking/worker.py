"""The one writer of a run's MLflow record: `python -m infra.tracking.worker WORKSPACE RUN FLOW_RUN`.

It sends what the stages wrote to disk every few seconds, and catches up after an outage. It ends when its standard input ends;
what it read there is the run's status.
"""

import fcntl
import os
import select
import sys
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from infra.tracking.mirror import Mirror

INTERVAL_SECONDS = 2.0


def follow(mirror: Mirror) -> str:
    """Sends what is new every few seconds until standard input ends; returns the status read there."""
    status = ""
    while True:
        attempt(mirror.catch_up)
        if select.select([sys.stdin], [], [], INTERVAL_SECONDS)[0]:
            text = sys.stdin.read()
            return text.strip() or status or "KILLED"


def attempt(action: Any, *arguments: Any, **options: Any) -> bool:
    """Runs an action; for an outage it only logs a line, and the next round sends what this one could not."""
    try:
        action(*arguments, **options)
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise  # a mistake of ours, which waiting does not repair
        print(f"MLflow is away, catching up later: {error}", flush=True)  # noqa: T201
        return False
    return True


def main(workspace: str, run: str, flow_run: str) -> int:
    """Follows one run; exit code 1 if MLflow stayed away to the end."""
    os.chdir(os.environ["MARTLET_HOME"])  # a database without a server keeps its artifacts in ./mlruns
    with Path("mlflow.lock").open("w") as lock:  # the first to come creates the database's tables: one at a time
        fcntl.flock(lock, fcntl.LOCK_EX)
        client = MlflowClient()
        attempt(client.search_experiments, max_results=1)
    mirror = Mirror(Path(workspace), run, flow_run, client)
    status = follow(mirror)
    return 0 if attempt(mirror.close, status) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
