"""Starts and ends the process that mirrors a run in MLflow: a view that may lag or be lost, and that no stage waits for.

That process is `infra.tracking.worker`, the only writer; this side imports no MLflow.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.servers.clients import asking_mlflow
from infra.servers.running import is_ours
from infra.settings import Settings

FINISH_SECONDS = 120


@contextlib.contextmanager
def tracked(workspace: Path, run: str, flow_run: str) -> Iterator[None]:
    """Follows the workspace during the block; MLflow shows FINISHED, FAILED or KILLED afterwards."""
    log = workspace / "journal" / "tracking.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        writer = subprocess.Popen(
            [sys.executable, "-m", "infra.tracking.worker", str(workspace), run, flow_run],
            env=tracking_environment(), text=True, stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    status = "KILLED"
    try:
        yield
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        if not finish(writer, status):
            print(f"MLflow does not show all of this run yet; the next start sends the rest. See {log}", flush=True)  # noqa: T201


def is_complete(workspace: Path) -> bool:
    """True if MLflow shows all of the run; False if it was away at the end."""
    path = workspace / "journal" / "tracking.json"
    return path.exists() and bool(json.loads(path.read_text(encoding="utf-8")).get("complete"))


def finish(writer: "subprocess.Popen[str]", status: str) -> bool:
    """Tells the writer how the run ended and lets it catch up for a while; False if it could not."""
    try:
        writer.communicate(status, timeout=FINISH_SECONDS)
    except subprocess.TimeoutExpired:
        writer.kill()
        writer.wait()
    return writer.returncode == 0


def tracking_environment() -> dict[str, str]:
    """The writer's variables: the configured MLflow, with our secret if it is ours; otherwise a database below MARTLET_HOME."""
    home = Settings().home.absolute()
    default = {"MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}", "MARTLET_HOME": str(home)}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    variables = {**default, **os.environ, **quiet}
    address = variables["MLFLOW_TRACKING_URI"]
    return asking_mlflow(variables, home, address) if is_ours(home, address) else variables
