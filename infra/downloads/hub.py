"""Downloads files of a Hugging Face repository, and says which commit they come from.

Address and token come from `HF_ENDPOINT` and `HF_TOKEN` alone: a token that was saved on this machine is not used.
"""

import fnmatch
import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.errors import SourceMissing
from components.formats.digests import digest_file
from components.formats.disk import trouble_behind
from infra.downloads.credentials import address_of, secret_of
from infra.downloads.kept import say_refetch

QUIET = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_UPDATE_CHECK")


class HuggingFaceHub:
    """Reads repositories through the Hub's own client and its cache; telemetry and progress bars are off."""

    def __init__(self, cache: Path, endpoint: str | None = None) -> None:
        self.cache = cache
        self.endpoint = endpoint

    def fetch(self, repository: str, revision: str, files: Sequence[str], folder: Path, *, dataset: bool) -> str:
        """Copies the files that match the patterns into `folder`; returns the commit that `revision` meant.

        A completely cached commit needs no network. What is cached is hashed again; a damaged file is fetched again.
        Raises `SourceMissing` if the Hub refuses or no file matches.
        """
        # the client reads these once, when it is imported
        os.environ |= dict.fromkeys(QUIET, "1")
        wanted = Wanted(repository, "dataset" if dataset else "model", revision, tuple(files))
        snapshot = self._snapshot(wanted)
        if damages := self._damages(wanted, snapshot):
            snapshot = self._fetched_again(wanted, damages)
        found = wanted.among(snapshot)
        if not found:
            raise SourceMissing(f"{repository} at {revision}: no file matches {', '.join(files)}. Correct `files`.")
        for path in found:
            target = folder / path.relative_to(snapshot)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        return snapshot.name

    def _snapshot(self, wanted: "Wanted") -> Path:
        """The client's folder of the commit, in which the wanted files are. Raises `SourceMissing`."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        endpoint, token = self.endpoint or address_of("HF_ENDPOINT"), secret_of("HF_TOKEN")
        try:
            return Path(snapshot_download(
                wanted.repository, repo_type=wanted.kind, revision=wanted.revision, allow_patterns=list(wanted.files),
                cache_dir=self.cache, endpoint=endpoint, token=token.get_secret_value() if token else False,
            ))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
            raise SourceMissing(
                f"the Hub refused {wanted.repository} at {wanted.revision}: {first_line(error)} "
                "Check the name and the revision; for a gated or private repository set HF_TOKEN."
            ) from error
        except Exception as error:  # the client lets its own libraries' errors through
            if trouble_behind(error, [self.cache]):
                raise
            raise SourceMissing(
                f"{wanted.repository} at {wanted.revision} could not be fetched whole: {type(error).__name__}: "
                f"{first_line(error)} Start again: what is complete is kept."
            ) from error

    @staticmethod
    def _damages(wanted: "Wanted", snapshot: Path) -> dict[Path, str]:
        """Those of the wanted files that are not what the Hub's listing of the commit names, and what is wrong with each."""
        listed = listed_digests(snapshot)
        found: dict[Path, str] = {}
        for path in wanted.among(snapshot):
            expected = listed.get(path.relative_to(snapshot).as_posix()) or path.resolve().name
            digest = git_digest(path, expected)
            if digest not in (None, expected):
                found[path] = f"{path} is damaged: expected {expected}, found {digest}"
        return found

    def _fetched_again(self, wanted: "Wanted", damages: dict[Path, str]) -> Path:
        """Drops the damaged files and has the client fetch them. Raises `SourceMissing` if the Hub gives no better ones."""
        for path, damage in damages.items():
            say_refetch(damage)
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        try:
            snapshot = self._snapshot(wanted)
        except SourceMissing as error:
            raise SourceMissing(f"{next(iter(damages.values()))}. It could not be fetched again: {error}") from error
        if still := self._damages(wanted, snapshot):
            raise SourceMissing(
                f"{next(iter(still.values()))}, although it was just fetched: the Hub, or what is between, changes the bytes. "
                f"Try another network or HF_ENDPOINT; if that does not help, delete {snapshot.parents[1]}."
            )
        return snapshot


@dataclass(frozen=True)
class Wanted:
    """Files of a repository, by patterns."""

    repository: str
    kind: str
    revision: str
    files: tuple[str, ...]

    def among(self, snapshot: Path) -> list[Path]:
        """The files of a snapshot's folder that match, sorted."""
        return sorted(p for p in snapshot.rglob("*") if p.is_file() and matches(p.relative_to(snapshot), self.files))


def listed_digests(snapshot: Path) -> dict[str, str]:
    """The digest of each file of a commit, as the client kept the Hub's listing; {} if it kept none, or in another format.

    A large file's is its SHA-256, any other's git's SHA-1. They are read here because the client's own function leaves
    the SHA-256 out. Without a listing, the name under which the client stores a file is its digest.
    """
    try:
        listing = json.loads((snapshot.parents[1] / "trees" / f"{snapshot.name}.json").read_bytes())
        return {name: str(file.get("lfs_sha256") or file["blob_id"]) for name, file in listing["files"].items()}
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return {}


def git_digest(path: Path, expected: str) -> str | None:
    """The file's digest of the kind that `expected` is; None if that is no digest."""
    if re.fullmatch(r"[0-9a-f]{64}", expected):
        return digest_file(path)
    if not re.fullmatch(r"[0-9a-f]{40}", expected):
        return None
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def matches(name: Path, patterns: Sequence[str]) -> bool:
    """Whether a pattern allows the file: a cached snapshot may hold files that other runs asked for."""
    return any(fnmatch.fnmatchcase(name.as_posix(), pattern) for pattern in patterns)


def first_line(error: Exception) -> str:
    """The first line of the client's message, which the rest only repeats."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
