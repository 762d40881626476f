"""The commits and the tag of a sealed run travel as a git bundle beside its results, one for each seal, never overwritten."""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from components.base.plain_yaml import read_yaml
from components.errors import ParameterError, ServiceError
from components.formats.digests import digest_value
from components.params import Params, validate_params
from infra import git
from infra.remote.store import RemoteStore

FOLDER = ("git", "run")
SUFFIX = ".bundle"


@dataclass(frozen=True)
class SealedRun:
    """What a run's tag says of it."""

    run: str
    tag: str
    commit: str
    params: Params
    request: str


def sealed_there(store: RemoteStore) -> list[str]:
    """The tags of the sealed runs on the remote, the oldest first."""
    return [f"run/{name.removesuffix(SUFFIX)}" for name in store.listed(*FOLDER) if name.endswith(SUFFIX)]


def tags_of(run: str, tags: list[str]) -> list[str]:
    """A run's tags among others, in the order of their numbers: `run/x`, `run/x.2`, and so on."""
    found = {tag: re.fullmatch(rf"run/{re.escape(run)}(?:\.(\d+))?", tag) for tag in tags}
    return sorted((tag for tag, match in found.items() if match), key=lambda tag: int((found[tag] or [0, 0])[1] or 1))


def send_commits(store: RemoteStore, folder: Path, tag: str) -> None:
    """Sends a tag with its history. Raises `RemoteRefused`."""
    name = f"{tag.removeprefix('run/')}{SUFFIX}"
    if store.exists(*FOLDER, name):
        return
    with tempfile.TemporaryDirectory() as temporary:
        bundle = Path(temporary) / name
        git.write_bundle(folder, tag, bundle)
        store.put(bundle, *FOLDER, name)


def fetch_commits(store: RemoteStore, root: Path, run: str) -> list[str]:
    """Takes a run's tags from the remote into the clone; returns those that are the same in both, by their numbers."""
    tags = tags_of(run, sealed_there(store))
    return [tag for tag in tags if fetch_tag(store, root, tag)]


def fetch_tag(store: RemoteStore, root: Path, tag: str) -> bool:
    """Takes one tag; whether the clone has the remote's now, and not one of its own by that name.

    Raises `ServiceError` if the bundle is damaged, or lacks history that this clone lacks too.
    """
    name = f"{tag.removeprefix('run/')}{SUFFIX}"
    with tempfile.TemporaryDirectory() as temporary:
        bundle = Path(temporary) / name
        store.get(bundle, *FOLDER, name)
        there = git.bundled(root, tag, bundle)
        here = git.object_of(root, f"refs/tags/{tag}")
        if here:
            return here == there
        try:
            git.read_bundle(root, tag, bundle)
        except ServiceError as error:
            raise ServiceError(
                f"{store.url}/{'/'.join(FOLDER)}/{name} cannot be taken into {root}: {error}. If a shallow clone made it, "
                "`git fetch --unshallow` here brings what it lacks; else remove it there, and run it again where it was made."
            ) from None
    return True


def read_sealed(root: Path, run: str, tag: str) -> SealedRun:
    """What a tag says of its run. Raises `ServiceError` if it is not the run that it is called."""
    try:
        commit = str(json.loads(git.message_of(root, f"refs/tags/{tag}"))["commit"])
        request = git.message_of(root, git.first_after(root, commit, tag)).partition("\n\n")[2]
        where = f"{tag}:params.yaml"
        params = validate_params(read_yaml((git.read_file(root, tag, "params.yaml") or b"").decode(), where), where)
    except (ValueError, KeyError, TypeError, ParameterError) as error:
        raise ServiceError(f"{tag} is not the tag of a run: {error}. It was not made by `martlet run`.") from None
    if not run.endswith(digest_value({"params": params.model_dump(mode="json"), "commit": commit})[:8]):
        raise ServiceError(f"{tag} holds other parameters than {run} is named after: it was changed. Do not use it.")
    return SealedRun(run, tag, commit, params, request)
