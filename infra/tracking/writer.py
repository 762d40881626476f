"""Starts and ends the process that mirrors a run in MLflow: a view that may lag or be lost, and that no stage waits for.

That process is `infra.tracking.worker`, the only writer; this side imports no MLflow.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.servers.clients import MLFLOW_CREDENTIALS
from infra.servers.loopback import loopback_directly
from infra.settings import Settings
from infra.tracking.address import configured_address
from infra.tracking.coverage import on_disk, read_coverage
from infra.tracking.sent import sent_to
from infra.tracking.state import known_run, read_state

FINISHED = "FINISHED"
FINISH_SECONDS = 120
REQUEST_SECONDS = 20
"""How long the writer waits for one answer, unless the user says otherwise."""


@contextlib.contextmanager
def tracked(workspace: Path, run: str, flow_run: str) -> Iterator[None]:
    """Follows the workspace during the block; MLflow shows FINISHED, FAILED or KILLED afterwards."""
    log = workspace / "journal" / "tracking.log"
    writer = start(log, [str(workspace), run, flow_run])
    status = "KILLED"
    try:
        yield
        status = FINISHED
    except Exception:
        status = "FAILED"
        raise
    finally:
        if writer is not None and not finish(writer, status):
            print(incomplete(workspace), flush=True)  # noqa: T201


def start(log: Path, arguments: list[str]) -> "subprocess.Popen[str] | None":
    """Starts the writer; None, and a line, if the disk does not even take its log: no run fails because of its history."""
    try:
        log.parent.mkdir(exist_ok=True)
        with log.open("a", encoding="utf-8") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "infra.tracking.worker", *arguments],
                env=tracking_environment(), text=True, stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        print(f"MLflow will not show this run: {error}. The next start sends it.", flush=True)  # noqa: T201
        return None


def is_complete(workspace: Path) -> bool:
    """True if the MLflow that is in force shows all of a finished run: asked now, in milliseconds."""
    state, address = read_state(workspace / "journal"), configured_address()
    run_id = known_run(state)
    if state.get("complete") is not True or state.get("tracking_uri") != address.shown or not run_id:
        return False
    sent = read_coverage(sent_to(address, run_id))
    return sent.status == FINISHED and sent.covers(on_disk(workspace))


def incomplete(workspace: Path) -> str:
    """The line that says that MLflow does not show all of a run, why, and what to do."""
    shown = configured_address().shown
    why = read_state(workspace / "journal").get("reason") or f"MLflow at {shown} did not take the rest in {FINISH_SECONDS} s."
    log = workspace / "journal" / "tracking.log"
    return f"MLflow does not show all of this run yet. {why} The next start sends the rest. See {log}"


def finish(writer: "subprocess.Popen[str]", status: str) -> bool:
    """Tells the writer how the run ended and lets it catch up for a while; False if it could not."""
    try:
        writer.communicate(status, timeout=FINISH_SECONDS)
    except subprocess.TimeoutExpired:
        writer.kill()
        writer.wait()
    return writer.returncode == 0


def tracking_environment() -> dict[str, str]:
    """The writer's variables: where MLflow is, no telemetry, and no long waits, since it tries again by itself."""
    address = configured_address()
    others = MLFLOW_CREDENTIALS if address.username else set()
    kept = {name: value for name, value in os.environ.items() if name not in others}
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_SECONDS)}
    home = {"MARTLET_HOME": str(Settings().home.absolute())}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    return {**patience, **kept, **loopback_directly(os.environ), **home, **address.environment(), **quiet}
