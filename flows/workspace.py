"""One run, one workspace, one identity: a git worktree whose `params.yaml` is committed before anything runs.

The run's id is made of what was asked (the recipe's name or `params`, resolved parameters, commit), so that the same command
finds the same workspace again and resumes where it stopped, and different parameters never touch each other's files.
"""

import fcntl
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.errors import ParameterError
from components.formats.digests import digest_value
from components.formats.files import write_text
from components.params import Params, load_params, preflight
from flows.request import Request, parameters_of, render
from infra import git
from infra.private import make_private
from infra.remote.address import normal_address, remote_in, write_remote
from infra.settings import Settings
from infra.site_scheduler import scheduler_of

MARKER = Path("journal/request.json")
"""In a workspace that is open: written last when it is made."""


@dataclass(frozen=True)
class Workspace:
    """Where one run happens, and what the run is."""

    root: Path
    path: Path
    run: str
    commit: str
    params: Params
    settings: Settings

    @property
    def is_open(self) -> bool:
        """Whether the workspace is there, whole."""
        return (self.path / MARKER).exists()

    @property
    def journal(self) -> Path:
        """Live metrics, logs and outcomes of the stages; outside of git and DVC."""
        return self.path / "journal"

    @property
    def records(self) -> Path:
        """One folder per stage, with its `record.json`."""
        return self.path / "artifacts" / "records"

    @property
    def lock(self) -> Path:
        """The file whose lock says that somebody works here."""
        return self.path.with_suffix(".lock")

    @property
    def tag(self) -> str:
        """The annotated tag that seals the run."""
        return f"run/{self.run}"

    @property
    def has_its_remote(self) -> bool:
        """Whether the remote that is committed here is the one that MARTLET_REMOTE asks for, if it asks for any."""
        wanted = self.settings.remote
        return not wanted or remote_in(self.path).get("url") == normal_address(wanted)


def plan_workspace(request: Request, root: Path, settings: Settings) -> Workspace:
    """Resolves the reference and the parameters; touches nothing. Raises `ParameterError` naming file and key."""
    commit = git.resolve(root, request.reference)
    if git.read_file(root, commit, request.file) is None:
        files = [name for name in git.list_files(root, commit, "recipes") if name.endswith(".yaml")]
        there = ", ".join(name.removesuffix(".yaml") for name in files) or "no recipes"
        raise ParameterError(f"there is no {request.file} at {commit[:10]}. There are: {there}. Commit it first?")
    params = parameters_of(request, lambda path: git.read_file(root, commit, path))
    run = f"{request.recipe}-{digest_value({'params': params.model_dump(mode='json'), 'commit': commit})[:8]}"
    return Workspace(root, settings.runs / run, run, commit, params, settings)


def refuse_preflight(workspace: Workspace) -> None:
    """Raises `ParameterError` with everything that is known to stop this run in some later stage."""
    if found := preflight(workspace.params):
        raise ParameterError(f"{workspace.run} could not finish:\n  " + "\n  ".join(found))


def refuse_cluster(workspace: Workspace, left: Callable[[], Collection[str]]) -> None:
    """Raises `ParameterError` if the site's cluster takes no job of the stages left, `ServiceError` if it cannot be asked."""
    scheduler = scheduler_of(workspace.settings)
    if scheduler is None:
        return
    if found := scheduler.refusals(left()):
        who, site = scheduler.site.scheduler, f"infra/sites/{workspace.settings.site}.yaml"
        raise ParameterError(f"{workspace.run} could not finish: {who} refuses what {site} asks for:\n  " + "\n  ".join(found))


@contextmanager
def locked(workspace: Workspace) -> Iterator[int]:
    """Holds the workspace; waits for another process that works there, and says so. Yields the lock's descriptor.

    A stage's process inherits the descriptor: after `kill -9` of the flow the lock is free only when the stage has
    ended too. The kernel frees the lock of the dead.
    """
    make_private(workspace.settings.home)
    workspace.lock.parent.mkdir(parents=True, exist_ok=True)
    with workspace.lock.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{workspace.run}: the same run is under way elsewhere; waiting for it", flush=True)  # noqa: T201
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream.fileno()


def open_workspace(workspace: Workspace, request: Request) -> None:
    """Creates the worktree, or finds it complete; its first commit holds what was asked for. Call it with the lock held."""
    if workspace.is_open:
        refuse_changed(workspace)
    else:
        git.remove_worktree(workspace.root, workspace.path)
        git.add_worktree(workspace.root, workspace.path, workspace.commit)
        write_text(workspace.path / "params.yaml", render(workspace.params))
        configure_remote(workspace)
        git.commit_all(workspace.path, f"run {workspace.run}: inputs\n\n{request.model_dump_json(indent=1)}", "params.yaml")
        git.try_tag(workspace.path, f"martlet-trial/{workspace.run}")  # not found out after the last stage
        write_text(workspace.path / MARKER, request.model_dump_json(indent=1) + "\n")
    configure_remote(workspace)
    configure_dvc(workspace)


def refuse_changed(workspace: Workspace) -> None:
    """Raises `ParameterError` if the `params.yaml` of a workspace is not what its run's id was made of."""
    if not git.is_worktree(workspace.path):
        git.repair_worktree(workspace.root, workspace.path)  # the clone was moved
    path = workspace.path / "params.yaml"
    if load_params(path) != workspace.params:
        raise ParameterError(
            f"{path} was edited, and {workspace.run} is the name of what it said before. Put it back with "
            f"`git -C {workspace.path} checkout params.yaml`; change the recipe, or use --set, to run something else."
        )


def configure_remote(workspace: Workspace) -> None:
    """Puts the remote that is asked for into the workspace's `.dvc/config`, which is committed, so that DVC alone finds it.

    The run's id does not depend on it. Without MARTLET_REMOTE a run keeps the remote it has.
    """
    if not workspace.has_its_remote:
        write_remote(workspace.path, normal_address(workspace.settings.remote))


def configure_dvc(workspace: Workspace) -> None:
    """Every workspace shares one cache and one run cache. Stages replace outputs, so hard links are safe."""
    settings = workspace.settings
    (settings.home.absolute() / "dvc" / "repo").mkdir(parents=True, exist_ok=True)  # DVC would open it to everybody
    write_text(
        workspace.path / ".dvc" / "config.local",
        f"[core]\n    site_cache_dir = {settings.home.absolute() / 'dvc'}\n"
        f'[cache]\n    dir = {settings.cache}\n    type = "reflink,hardlink,copy"\n',
    )


def seal(workspace: Workspace, summary: str) -> str:
    """Commits `dvc.lock` and tags it; returns the tag. Without changes there is no new tag; a tag is never moved."""
    if name := sealed_as(workspace):
        return name
    sealed = git.tags_at(workspace.path, f"{workspace.tag}*")
    write_text(workspace.path / "summary.md", summary)
    git.commit_all(workspace.path, f"run {workspace.run}: outputs", "dvc.lock", "summary.md")
    name = next(name for name in candidates(workspace.tag) if name not in sealed)
    git.tag(workspace.path, name, json.dumps({"run": workspace.run, "commit": workspace.commit}))
    return name


def sealed_as(workspace: Workspace) -> str:
    """The tag of the workspace as it stands; empty if it was never sealed, or has changed since."""
    if not (workspace.path / "summary.md").exists() or not workspace.has_its_remote or not git.is_clean(workspace.path):
        return ""
    head = git.resolve(workspace.path, "HEAD")
    sealed = git.tags_at(workspace.path, f"{workspace.tag}*")
    return next((name for name, commit in sealed.items() if commit == head), "")


def candidates(tag: str) -> Iterator[str]:
    """The names a seal may take: `run/x`, then `run/x.2`, `run/x.3` and so on."""
    yield tag
    number = 2
    while True:
        yield f"{tag}.{number}"
        number += 1
