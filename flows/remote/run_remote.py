"""A run and its remote: where it is, what a run takes from it before it computes, and what it sends before it is sealed."""

from pathlib import Path

from components.errors import ServiceError
from components.formats.files import write_text
from components.params import STAGES
from flows.pipeline import Pipeline
from flows.remote.commits import SealedRun, fetch_commits, read_sealed, send_commits
from flows.workspace import MARKER, Workspace, configure_dvc, configure_remote, seal
from infra import git
from infra.remote.address import Remote, normal_address, remote_in
from infra.remote.store import RemoteStore

SENT = Path("sent")
"""In the journal: which remote has everything of which seal."""


def remote_of(workspace: Workspace) -> Remote:
    """The remote of a run: MARTLET_REMOTE, else what its workspace, or the tree, has configured; empty if there is none."""
    configured = remote_in(workspace.path if workspace.is_open else workspace.root)
    if not workspace.settings.remote:
        return configured
    url = normal_address(workspace.settings.remote)
    return configured if configured.get("url") == url else {"url": url, "verify": "true"}


def store_of(workspace: Workspace) -> RemoteStore | None:
    """The run's remote, after a trial that it can be written to; None if it has none. Raises `RemoteRefused`."""
    remote = remote_of(workspace)
    if not remote:
        return None
    store = RemoteStore(remote)
    store.try_writing(Path(__file__))
    return store


def is_sent(workspace: Workspace, tag: str) -> bool:
    """Whether the run's remote, if it has one, has the results and the commits of a seal."""
    remote, note = remote_of(workspace), workspace.journal / SENT
    return not remote or (note.exists() and note.read_text(encoding="utf-8") == sent_note(remote, tag))


def sent_note(remote: Remote, tag: str) -> str:
    """What is noted when all is sent."""
    return f"{remote['url']}\n{tag}\n"


def take_if_sealed(workspace: Workspace, store: RemoteStore) -> None:
    """Opens the workspace as its run was sealed elsewhere, if it was; call it with the lock held. Raises `RemoteRefused`."""
    if workspace.is_open:
        return
    if tags := fetch_commits(store, workspace.root, workspace.run):
        open_sealed(workspace, read_sealed(workspace.root, workspace.run, tags[-1]))
        restore_results(workspace, store)  # what is missing there, a stage makes again


def open_sealed(workspace: Workspace, sealed: SealedRun) -> None:
    """Makes the workspace of a sealed run, with its commits and without its results."""
    git.remove_worktree(workspace.root, workspace.path)
    git.add_worktree(workspace.root, workspace.path, sealed.tag)
    configure_dvc(workspace)
    write_text(workspace.path / MARKER, sealed.request.strip() + "\n")


def restore_results(workspace: Workspace, store: RemoteStore) -> list[str]:
    """Fetches the results that `dvc.lock` names, and lays them out; returns the stages of which something is missing."""
    pipeline = Pipeline(workspace, store)
    assert pipeline.remote
    try:
        missing = [stage for stage in STAGES if not pipeline.remote.fetch_locked(stage)]
        pipeline.check_out()
    finally:
        pipeline.close()
    return missing


def seal_there(workspace: Workspace, summary: str, store: RemoteStore | None) -> str:
    """Seals the run, here and on its remote; returns the tag. A seal of the same results that is there already is taken over.

    Raises `RemoteRefused`, and then there is no new tag.
    """
    if store is None:
        return seal(workspace, summary)
    take_over(workspace, fetch_commits(store, workspace.root, workspace.run))
    before = set(git.tags_at(workspace.path, f"{workspace.tag}*"))
    tag = seal(workspace, summary)
    try:
        send_commits(store, workspace.path, tag)
    except ServiceError:
        if tag not in before:
            git.delete_tag(workspace.path, tag)
        raise
    write_text(workspace.journal / SENT, sent_note(store.remote, tag))
    return tag


def take_over(workspace: Workspace, tags: list[str]) -> None:
    """Moves the workspace to the newest of these seals, if it has the very results that are here."""
    here = (workspace.path / "dvc.lock").read_bytes()
    for tag in reversed(tags):
        if git.read_file(workspace.root, tag, "dvc.lock") == here:
            git.move_to(workspace.path, tag)
            configure_remote(workspace)
            return
