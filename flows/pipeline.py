"""Asks DVC inside this process which stages are done, and reproduces one stage in a child process."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.errors import MartletError, ServiceError, WorkerFailed
from flows.results.damage import Damage
from flows.results.digests import FileDigests
from flows.results.outcome import StageResult
from flows.results.stage_objects import StageObjects
from flows.results.torn_files import remove_torn_files
from flows.workspace import Workspace
from infra.git import without_git
from infra.processes import dying_with_parent
from infra.remote.store import RemoteStore

GRACE_SECONDS = 60


class StageFailed(MartletError):
    """A stage ended badly; the message is the stage's own."""


def quiet_dvc() -> None:
    """Switches off DVC's telemetry and update check; to be called before DVC is imported."""
    os.environ["DVC_NO_ANALYTICS"] = "1"


class Pipeline:
    """The DVC repository of a workspace, opened once; every question makes DVC read its files again."""

    def __init__(self, workspace: Workspace, store: RemoteStore | None = None) -> None:
        """`store` holds the run's remote, if it has one."""
        quiet_dvc()
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.CRITICAL)  # this also switches off its progress bars: the terminal has ours
        self.repo = Repo(str(workspace.path))
        remove_torn_files(self.repo)
        digests = FileDigests(workspace.settings.home.absolute())
        self.remote = StageObjects(self.repo, store, digests) if store else None
        self.damage = Damage(self.repo, digests, self.remote)

    def unchanged(self, stage: str) -> bool:
        """True if `dvc.lock` and the files agree for this stage: nothing to do."""
        return not self.repo.status([stage])

    def changed(self) -> set[str]:
        """The stages that have something to do, as far as is known before any of them runs."""
        return {address.rpartition(":")[2] for address in self.repo.status()}  # after the path of dvc.yaml, from elsewhere

    def check_out(self) -> None:
        """Lays out the results that `dvc.lock` names and the cache has. Raises `ServiceError` if a file stands in the way."""
        from dvc.exceptions import CheckoutError

        try:
            self.repo.checkout(allow_missing=True)
        except CheckoutError as error:
            raise ServiceError(f"{self.repo.root_dir}: {error}. Move what was changed there out of the way.") from None

    def close(self) -> None:
        """Frees DVC's databases."""
        self.repo.close()


def stage_environment(workspace: Workspace, flow_run: str) -> dict[str, str]:
    """The variables of a stage's process: this interpreter first on PATH, identities, telemetry off."""
    bin_folder = str(Path(sys.executable).parent)
    return {
        **without_git(os.environ),
        "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "SHELL": shutil.which("bash") or shutil.which("sh") or "/bin/sh",
        "PYTHONUNBUFFERED": "1",
        "MARTLET_HOME": str(workspace.settings.home.absolute()),
        "MARTLET_SITE": workspace.settings.site,
        "MARTLET_RUN": workspace.run,
        "MARTLET_COMMIT": workspace.commit,
        "MARTLET_FLOW_RUN": flow_run,
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    }


@dataclass(frozen=True)
class Listener:
    """How a flow listens to a running stage."""

    line: Callable[[str], None]
    """Gets each line that the stage prints."""
    is_wanted: Callable[[BaseException], bool]
    """Whether a person wanted the interruption of the flow: then the stage's jobs on a cluster must end too."""


def run_stage(
    workspace: Workspace, stage: str, environment: dict[str, str], lock: int, listener: Listener
) -> StageResult:
    """Reproduces one stage in a child process, passing on each line that it prints; if interrupted, ends the child's group.

    The child holds `lock` too. Raises `StageFailed` with the stage's own message, or what interrupted this process.
    """
    cancelled = workspace.journal / f"{stage}.cancelled"
    cancelled.unlink(missing_ok=True)
    (workspace.journal / f"{stage}.error").unlink(missing_ok=True)
    receive, send = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", "flows.stage", stage, str(send)],
        cwd=workspace.path, env=environment, text=True, bufsize=1, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, pass_fds=(lock, send), preexec_fn=dying_with_parent(),  # noqa: PLW1509  (it takes no lock)
    )
    os.close(send)
    with os.fdopen(receive, encoding="utf-8") as pipe:
        try:
            assert child.stdout is not None
            for text in child.stdout:
                listener.line(text.rstrip("\n"))
            child.wait()
        except BaseException as interruption:
            if listener.is_wanted(interruption):
                cancelled.touch()
            stop(child)
            raise
        result = pipe.read()
    if not result:
        raise WorkerFailed(f"{stage}: its process ended (exit code {child.returncode}) before it could say why. Start again.")
    outcome = StageResult.model_validate_json(result)
    if outcome.outcome == "failed":
        raise StageFailed(outcome.error)
    return outcome


def stop(child: "subprocess.Popen[str]") -> None:
    """Terminates the child's whole group: first with a chance to checkpoint, then for good."""
    try:
        child.terminate()  # it passes SIGTERM on to its group
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
