"""Copies the results of single stages between DVC's cache and the remote, with the run cache's entry that names them.

DVC's own push and pull do the same for a whole workspace, but they take a folder for complete if its list is there, swallow
what goes wrong with the run cache, and say how many files failed, not why.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from components.errors import ServiceError
from flows.results.digests import DIRECTORY, FileDigests
from flows.results.stages import fill_from_run_cache, has_key, load_stage
from infra.remote.store import RemoteStore

BATCH = 200
"""Objects that are asked for at once: the first failure ends the transfer after at most so many."""


ASKED_ONE_BY_ONE = 1000
"""So many objects at most are asked for by name. DVC may list the whole remote instead, in hundreds of requests."""


class StageObjects:
    """The results of a repository's stages, here and on the remote."""

    def __init__(self, repo: Any, store: RemoteStore, digests: FileDigests) -> None:
        self.repo = repo
        self.store = store
        self.digests = digests
        self.here: Any = repo.cache.local
        self.there: Any = store.objects

    def send(self, name: str) -> int:
        """Sends what the remote lacks of a stage's results, and then the entry that names them; returns how many objects.

        Raises `RemoteRefused`, or `ServiceError` if the cache has lost a result, or holds it damaged.
        """
        with self.stage(name) as stage:
            folders, files = objects_of(stage)
            missing = self.absent_there([*files, *folders])
            if lost := sorted(self.absent_here(missing)):
                raise ServiceError(f"{name}: DVC's cache has lost {len(lost)} of its results, {lost[0]} for one. Start again.")
            for some in (files & missing, folders & missing):  # a folder's list last: it says that its files are there
                self.copy(self.here, self.there, some, "written to", verify=False, hardlink=True)
            self.send_entries(stage)
            return len(missing)

    def fetch(self, name: str) -> bool:
        """Fetches the results of a stage that some run has computed already, if the remote has them; DVC restores them then.

        Results that the remote holds damaged are removed there: they will be made and sent again. Raises `RemoteRefused`.
        """
        with self.stage(name) as stage:
            known = self.known(stage)
            return known is not None and self.receive(known, mend=True)

    def fetch_locked(self, name: str) -> bool:
        """Fetches the results that `dvc.lock` names for a stage; whether all are here now. Raises `RemoteRefused`."""
        with self.stage(name) as stage:
            return self.receive(stage, mend=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[Any]:
        """The stage as the files say it is; nothing that is learned about it is kept."""
        from dvc.repo import lock_repo

        with lock_repo(self.repo):
            yield load_stage(self.repo, name)

    def known(self, stage: Any) -> Any:
        """The stage with results of the same inputs, as `dvc.lock` or the run cache names them; None: there are none."""
        if not stage.changed_stage() and not stage.changed_deps() and all(out.hash_info for out in stage.outs):
            return stage
        if not has_key(stage):
            return None
        self.fetch_entries(stage)
        return fill_from_run_cache(self.repo, stage)

    def receive(self, stage: Any, *, mend: bool) -> bool:
        """Fetches what is not here of a stage's results, each compared with its hash; whether all are here now."""
        lists = {out.hash_info.value for out in stage.outs if out.hash_info and out.hash_info.isdir}
        fetch = partial(self.fetch_or_drop, lists=lists) if mend else self.fetch_objects
        return not (fetch(lists) or fetch(objects_of(stage)[1]))

    def fetch_or_drop(self, wanted: Iterable[str], lists: Iterable[str]) -> set[str]:
        """Fetches objects; returns those that are not there, or were damaged there and are no longer.

        `lists` are the folders' lists that name them.
        """
        if gone := self.fetch_objects(wanted):
            self.drop_damaged(gone, lists)
        return gone

    def fetch_objects(self, wanted: Iterable[str]) -> set[str]:
        """Fetches objects; returns those that are not there, or not what their names say."""
        missing = self.absent_here(wanted)
        for _ in range(2):  # once more: damage on the way is not damage there
            present = missing - self.absent_there(missing)
            self.copy(self.there, self.here, present, "read", verify=True)
            missing = self.absent_here(missing)
        return missing

    def absent_here(self, wanted: Iterable[str]) -> set[str]:
        """The objects that the cache does not hold, or holds damaged: those are removed."""
        paths = {each: Path(self.here.oid_to_path(each)) for each in wanted}
        found = self.digests.of(paths.values())
        absent = {each for each, path in paths.items() if found[path] != each.removesuffix(DIRECTORY)}
        for each in absent:
            paths[each].unlink(missing_ok=True)
        return absent

    def drop_damaged(self, gone: set[str], lists: Iterable[str]) -> None:
        """Removes damaged objects from the remote, after the lists that promise them."""
        damaged = gone - self.absent_there(gone)
        for each in [*(lists if damaged else ()), *damaged]:
            self.store.remove("files", "md5", each[:2], each[2:])

    def absent_there(self, wanted: Iterable[str]) -> set[str]:
        """The objects that the remote does not hold."""
        asked = sorted(wanted)
        one_by_one = len(asked) <= ASKED_ONE_BY_ONE and self.store.fs.protocol != "local"  # there DVC looks at damage as well
        with self.store.doing("asked"):
            self.store.fs.fs.invalidate_cache()
            found = self.there.list_oids_exists(asked) if one_by_one else self.there.oids_exist(asked)
            return set(asked) - set(found) if asked else set()

    def copy(self, source: Any, target: Any, objects: Iterable[str], what: str, **options: Any) -> None:
        """Copies objects from one store to another. Raises `RemoteRefused` with the first error."""
        ordered = sorted(objects)
        for some in (ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)):
            errors: list[BaseException] = []

            def failed(_: str, error: BaseException, errors: list[BaseException] = errors) -> None:
                errors.append(error)

            with self.store.doing(what):
                paths = [source.oid_to_path(each) for each in some]
                target.add(paths, source.fs, some, check_exists=False, on_error=failed, **options)
            if errors:
                raise self.store.refused(what, errors[0])

    def send_entries(self, stage: Any) -> None:
        """Sends the run cache's entries of a stage: what came out for these parameters and inputs."""
        from dvc.stage.cache import _can_hash, _get_stage_hash

        if not _can_hash(stage):
            return
        names = entry_place(_get_stage_hash(stage))
        folder = Path(self.repo.stage_cache.cache_dir, *names[1:])
        there = self.store.listed(*names)
        for path in sorted(folder.glob("*")):
            if path.name not in there:
                self.store.put(path, *names, path.name)

    def fetch_entries(self, stage: Any) -> None:
        """Fetches the run cache's entries of a stage, with their times, for DVC takes the newest; a damaged one is left."""
        from dvc.stage.cache import _get_stage_hash

        names = entry_place(_get_stage_hash(stage))
        folder = Path(self.repo.stage_cache.cache_dir, *names[1:])
        for name, seconds in self.store.listed(*names).items():
            if (folder / name).exists():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.repo.tmp_dir) as fetched:
                path = Path(fetched) / name
                self.store.get(path, *names, name)
                if is_entry(path):
                    os.utime(path, (seconds, seconds))
                    path.replace(folder / name)


def entry_place(key: str) -> tuple[str, str, str]:
    """Where the run cache keeps the entries of a key, on the remote as in the cache."""
    return "runs", key[:2], key


def is_entry(path: Path) -> bool:
    """Whether an entry of the run cache is what its name, a hash, says."""
    from dvc.stage.cache import _get_cache_hash
    from dvc.utils.serialize import YAMLFileCorruptedError, load_yaml

    try:
        return bool(_get_cache_hash(load_yaml(str(path))) == path.name)
    except (YAMLFileCorruptedError, AttributeError, TypeError):
        return False


def objects_of(stage: Any) -> tuple[set[str], set[str]]:
    """The folders' lists and the files that a stage's results consist of. Raises `ServiceError` if the cache lacks a list."""
    folders: set[str] = set()
    files: set[str] = set()
    for out in stage.outs:
        if not out.hash_info:
            continue
        (folders if out.hash_info.isdir else files).add(out.hash_info.value)
        if out.hash_info.isdir:
            tree = out.get_obj()
            if tree is None:
                raise ServiceError(f"DVC's cache has lost the list of {out.def_path}. Remove the folder: a run makes it again.")
            files |= {entry.value for _, _, entry in tree}
    return folders, files
