"""`martlet pull`: a sealed run comes from the remote, with its commits, its tag and all its results."""

import time
from pathlib import Path

from components.errors import ParameterError, ServiceError
from components.formats.files import write_text
from components.params import STAGES
from flows.clone import enter_clone
from flows.commands.runs import print_summary
from flows.remote.commits import fetch_tag, read_sealed, sealed_there, tags_of
from flows.remote.run_remote import SENT, open_sealed, restore_results, sent_note
from flows.results.outcome import StageResult
from flows.summary import summarise
from flows.workspace import Workspace, locked, refuse_changed
from infra.remote.address import Remote, normal_address, remote_in
from infra.remote.store import RemoteStore
from infra.settings import Settings


def pull_run(name: str) -> None:
    """Fetches the run that is named, or what is missing of it, and prints its summary.

    Raises `ParameterError` if there is no such run or no remote, `RemoteRefused` if the remote cannot be read.
    """
    clock = time.monotonic()
    settings, root = enter_clone()
    store = RemoteStore(remote_for(settings, root))
    tags = sealed_there(store)
    run = find_run(name, tags, store.url)
    tag = tags_of(run, tags)[-1]
    if not fetch_tag(store, root, tag):
        raise ServiceError(
            f"{tag} of this clone is another than the one on {store.url}. Keep yours by another name and delete it: "
            f"`git tag mine {tag} && git tag -d {tag}`."
        )
    sealed = read_sealed(root, run, tag)
    workspace = Workspace(root, settings.runs / run, run, sealed.commit, sealed.params, settings)
    with locked(workspace):
        if workspace.is_open:
            refuse_changed(workspace)
        else:
            open_sealed(workspace, sealed)
        if missing := restore_results(workspace, store):
            raise ServiceError(
                f"{store.url} lacks results of {run}, or holds them damaged: {', '.join(missing)}. "
                f"`martlet run` of it sends them again where they are, and makes them again here: {workspace.path}."
            )
        write_text(workspace.journal / SENT, sent_note(store.remote, tag))
    results = {stage: StageResult(outcome="restored") for stage in STAGES}
    print_summary(summarise(workspace, results, time.monotonic() - clock, tag))


def remote_for(settings: Settings, root: Path) -> Remote:
    """Where to look: MARTLET_REMOTE, else the tree's `.dvc/config`. Raises `ParameterError` if neither names a remote."""
    if settings.remote:
        return {"url": normal_address(settings.remote), "verify": "true"}
    if remote := remote_in(root):
        return remote
    raise ParameterError("there is no remote to pull from. Set MARTLET_REMOTE to its URL or folder, such as s3://bucket/prefix.")


def find_run(name: str, tags: list[str], url: str) -> str:
    """The run by its id, its recipe or the beginning of its id; of several, the newest. Raises `ParameterError` naming all."""
    runs = [tag.removeprefix("run/").partition(".")[0] for tag in tags]
    whole = [run for run in runs if name in (run, run.rpartition("-")[0])]
    if name and (found := whole or [run for run in runs if run.startswith(name)]):
        return found[-1]
    there = ", ".join(dict.fromkeys(runs)) or "none; a run is there once it is sealed"
    raise ParameterError(f"there is no sealed run {name!r} on {url}. There are: {there}.")
