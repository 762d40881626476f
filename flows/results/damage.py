"""Finds files that are not what `dvc.lock` says, drops them, and puts a good copy in their place if there is one anywhere.

DVC hashes neither its read-only objects nor a file whose time of modification is as it was. So every file is compared here
with the digest that names it, in the workspace and in the cache, before its stage counts as done or is restored.
"""

import fcntl
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.errors import ServiceError
from components.inputs import list_some
from flows.results.digests import DIRECTORY, FileDigests
from flows.results.stage_objects import StageObjects
from flows.results.stages import fill_from_run_cache, has_key, load_stage


@dataclass(frozen=True)
class Expected:
    """A file of a stage's output: its MD5 and its two places, the cache's object and the file in the workspace."""

    name: str
    md5: str
    object: Path
    file: Path | None
    """None if only the object is asked for."""

    @property
    def oid(self) -> str:
        """The object's name in a cache or remote."""
        return self.object.parent.name + self.object.name

    @property
    def places(self) -> list[Path]:
        """Where the bytes ought to be."""
        return [path for path in (self.object, self.file) if path is not None]


class Damage:
    """The search for damage in the workspace and the cache of one DVC repository."""

    def __init__(self, repo: Any, digests: FileDigests, remote: StageObjects | None) -> None:
        """`remote` has good copies, if the run has one."""
        self.repo = repo
        self.cache = repo.cache.local
        self.digests = digests
        self.remote = remote
        hash_objects(self.cache, self.digests)
        self.lock = digests.database.with_name("damage.lock")
        self.notes: defaultdict[str, list[str]] = defaultdict(list)

    def is_in(self, stage: str) -> bool:
        """Whether anything that `dvc.lock` lists for the stage is damaged or lost, here or in the cache; mends nothing."""
        outs = load_stage(self.repo, stage).outs
        return not all(out.hash_info and self.is_whole(out, Path(out.fs_path)) for out in outs)

    def is_whole(self, out: Any, root: Path | None) -> bool:
        """Whether an output is as its digest says, in the cache and, if `root` is given, in the workspace."""
        own = self.object_of(out)
        if self.digests.of([own.object])[own.object] != own.md5:
            return False
        files = list_files(self.cache, out, own, root)
        found = self.digests.of(path for file in files for path in file.places)
        return all(found[path] == file.md5 for file in files for path in file.places)

    def mend(self, stage: str, say: Callable[[str], None]) -> None:
        """Leaves no damaged file of the stage, neither of its outputs nor of those that DVC's run cache would restore.

        What has no good copy is gone afterwards, so that DVC runs the stage again. `say` gets a line for each kind of find.
        """
        for out in load_stage(self.repo, stage).outs:
            if out.hash_info:
                self.mend_output(out, Path(out.fs_path), say)
        loaded = load_stage(self.repo, stage)
        known = fill_from_run_cache(self.repo, loaded) if has_key(loaded) else None
        for out in known.outs if known else ():
            self.mend_output(out, None, say)

    def mend_output(self, out: Any, root: Path | None, say: Callable[[str], None]) -> None:
        """Mends one output from whichever copy is good: below `root` in the workspace, in the cache, or in the remote."""
        if self.is_whole(out, root):
            return
        with self.alone():
            own = self.object_of(out)
            if self.has_listing(own, root):
                self.mend_files(list_files(self.cache, out, own, root), own)
            elif root is not None:
                remove(root)
        for what, names in self.notes.items():
            say(f"{list_some(names)}: {what}")
        self.notes.clear()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Other runs share the cache: one mends at a time."""
        with self.lock.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def object_of(self, out: Any) -> Expected:
        """The object in the cache that an output's digest names: a file, or the list of a folder's files."""
        oid = str(out.hash_info.value)
        path = Path(self.cache.oid_to_path(oid))
        if oid.endswith(DIRECTORY):
            return Expected(f"the list of files of {out.def_path}", oid.removesuffix(DIRECTORY), path, None)
        return Expected(out.def_path, oid, path, Path(out.fs_path))

    def has_listing(self, own: Expected, root: Path | None) -> bool:
        """Whether the files of an output are known, if need be from the folder itself or from the remote."""
        found = self.digests.of([own.object])[own.object]
        if own.file is not None or found == own.md5:
            return True
        if not found and root is None:
            return False  # nothing to mend: what the run cache alone knows is fetched when its stage is asked for
        remove(own.object)
        there = (root is not None and self.list_again(own, root)) or not self.fetch([own], [own])
        self.notes[f"{word(found)} in the cache: {'there again' if there else 'made again'}"].append(own.name)
        return there

    def list_again(self, own: Expected, root: Path) -> bool:
        """Lists a folder's files anew; False if they are not those that were listed."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.meta import Meta
        from dvc_data.hashfile.tree import Tree

        tree: Any = Tree()  # type: ignore[no-untyped-call]
        for path, md5 in self.digests.of(path for path in root.rglob("*") if path.is_file()).items():
            tree.add(path.relative_to(root).parts, Meta(size=path.stat().st_size), HashInfo("md5", md5))
        tree.digest()
        if tree.oid != own.md5 + DIRECTORY:
            return False
        self.cache.add(tree.path, tree.fs, tree.oid)
        return True

    def mend_files(self, files: Sequence[Expected], own: Expected) -> None:
        """Drops what is damaged, and mends it from the other copy on this machine, or from the remote's."""
        found = self.digests.of(path for file in files for path in file.places)
        lost = [file for file in files if not self.mend_file(file, found) and (file.file is not None or found[file.object])]
        gone = self.fetch(lost, [] if own.file is not None else [own])
        for file in lost:
            what = "damaged or lost, with no good copy: made again" if file in gone else "fetched from the remote"
            self.notes[what].append(file.name)

    def mend_file(self, file: Expected, found: dict[Path, str]) -> bool:
        """Mends a file from its other copy; False if no good copy is left on this machine."""
        good = [path for path in file.places if found[path] == file.md5]
        for path in set(file.places).difference(good):
            remove(path)
            if good:
                where = "in the cache" if path == file.object else "in the workspace"
                self.notes[f"{word(found[path])} {where}: mended from the other copy"].append(file.name)
        if good == [file.file]:
            self.cache.add(str(file.file), self.cache.fs, file.md5, hardlink="hardlink" in self.cache.cache_types)
        return bool(good)

    def fetch(self, lost: Sequence[Expected], lists: Sequence[Expected]) -> list[Expected]:
        """Fetches objects from the remote into the cache; returns those that it lacks, or has damaged and loses by this.

        `lists` are the lists of files that name them: one that promises what is gone goes first.
        """
        if not lost or self.remote is None:
            return list(lost)
        try:
            gone = self.remote.fetch_or_drop([file.oid for file in lost], {each.oid for each in lists})
        except ServiceError as error:
            self.notes[str(error)] += [file.name for file in lost]
            return list(lost)
        return [file for file in lost if file.oid in gone]


def hash_objects(cache: Any, digests: FileDigests) -> None:
    """Makes a DVC cache drop an object that is not what its name says, instead of taking any read-only file for present.

    Otherwise a stage whose output was damaged in the cache is run, and DVC puts the damaged object in the new one's place.
    """
    from dvc_objects.errors import ObjectFormatError

    trusting = cache.check

    def check(oid: str, check_hash: bool = True, _info: dict[str, Any] | None = None) -> Any:
        path = Path(cache.oid_to_path(oid))
        if digests.of([path])[path] not in ("", oid.removesuffix(DIRECTORY)):
            remove(path)
            raise ObjectFormatError(f"{path} was damaged")
        return trusting(oid, check_hash, _info)

    cache.check = check


def list_files(cache: Any, out: Any, own: Expected, root: Path | None) -> list[Expected]:
    """The files of an output, whose object is whole."""
    if own.file is not None:
        return [replace(own, file=root)]
    return [
        Expected(
            f"{out.def_path}/{entry['relpath']}", entry["md5"], Path(cache.oid_to_path(entry["md5"])),
            root / entry["relpath"] if root is not None else None,
        )
        for entry in json.loads(own.object.read_bytes())
    ]  # fmt: skip


def word(found: str) -> str:
    """What happened to a file that is not as it should be, by the digest that was found."""
    return "damaged" if found else "lost"


def remove(path: Path) -> None:
    """Removes a file or folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
