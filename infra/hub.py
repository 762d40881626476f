"""Downloads files of a Hugging Face repository, and says which commit they come from.

Address and token come from `HF_ENDPOINT` and `HF_TOKEN` alone: a token that was saved on this machine is not used.
"""

import fnmatch
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from components.errors import SourceMissing

QUIET = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_UPDATE_CHECK")


class HuggingFaceHub:
    """Reads repositories through the Hub's own client and its cache; telemetry and progress bars are off."""

    def __init__(self, cache: Path, endpoint: str | None = None) -> None:
        self.cache = cache
        self.endpoint = endpoint

    def fetch(self, repository: str, revision: str, files: Sequence[str], folder: Path, *, dataset: bool) -> str:
        """Copies the files that match the patterns into `folder`; returns the commit that `revision` meant.

        A completely cached commit needs no network. Raises `SourceMissing` if the Hub refuses or no file matches.
        """
        # the client reads these once, when it is imported
        os.environ |= dict.fromkeys(QUIET, "1")
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            snapshot = Path(snapshot_download(
                repository, repo_type="dataset" if dataset else "model", revision=revision, allow_patterns=list(files),
                cache_dir=self.cache, endpoint=self.endpoint, token=os.environ.get("HF_TOKEN") or False,
            ))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
            raise SourceMissing(
                f"the Hub refused {repository} at {revision}: {first_line(error)} "
                "Check the name and the revision; for a gated or private repository set HF_TOKEN."
            ) from error
        found = sorted(p for p in snapshot.rglob("*") if p.is_file() and matches(p.relative_to(snapshot), files))
        if not found:
            raise SourceMissing(f"{repository} at {revision}: no file matches {', '.join(files)}. Correct `files`.")
        for path in found:
            target = folder / path.relative_to(snapshot)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        return snapshot.name


def matches(name: Path, patterns: Sequence[str]) -> bool:
    """Whether a pattern allows the file: a cached snapshot may hold files that other runs asked for."""
    return any(fnmatch.fnmatchcase(name.as_posix(), pattern) for pattern in patterns)


def first_line(error: Exception) -> str:
    """The first line of the client's message, which the rest only repeats."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
