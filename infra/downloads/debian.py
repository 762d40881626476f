"""Downloads Debian packages with apt's own client and unpacks them; nothing is installed.

Works as an ordinary user once apt has its package lists; only fetching the lists needs root.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from components.errors import SourceMissing
from infra.downloads.archives import refuse_large_stream
from infra.downloads.kept import keep, whole_or_fetched

UPDATE = "As root, run `apt-get update`, then start again."


class DebianPackages:
    """Fetches packages into a cache: each once, under apt's name for the file; apt compares it with its list's digest."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def fetch(self, package: str, version: str) -> Path:
        """The .deb of `package` at `version` ("*": the one apt offers); needs no network if the file is cached already.

        A cached file that is not what was downloaded is downloaded again. Raises `SourceMissing` if apt is absent, has no
        lists, or does not have the package.
        """
        if version == "*":
            self._need_lists()
            version = self._offered(package)
        if cached := self._cached(package, version):
            return whole_or_fetched(cached, lambda: self._download(package, version))
        return self._download(package, version)

    def unpack(self, archive: Path, folder: Path) -> None:
        """Unpacks the package's files below `folder`. Raises `SourceMissing` if the file is damaged, or a bomb."""
        if shutil.which("dpkg-deb"):
            refuse_large_stream(["dpkg-deb", "--fsys-tarfile", str(archive)], archive)
        folder.mkdir(parents=True, exist_ok=True)  # dpkg-deb creates only the last folder of a path
        done = run_quietly(["dpkg-deb", "--extract", str(archive), str(folder)])
        if done.returncode:
            raise SourceMissing(f"dpkg-deb could not unpack {archive}: {last_words(done)} Delete it; it is fetched anew.")

    def _cached(self, package: str, version: str) -> Path | None:
        """The cached file, whatever its architecture."""
        name = f"{package}_{version.replace(':', '%3a')}_"
        return next((p for p in sorted(self.cache.glob("*.deb")) if p.name.startswith(name)), None)

    def _need_lists(self) -> None:
        """Makes sure that apt has package lists: fetches them as root. Raises `SourceMissing` if they are still missing."""
        if self._has_lists():
            return
        if os.geteuid() != 0:
            raise SourceMissing(f"apt has no package lists on this machine. {UPDATE}")
        print("apt has no package lists: running apt-get update", file=sys.stderr)  # noqa: T201
        done = run_quietly(["apt-get", "update"])
        if done.returncode or not self._has_lists():
            raise SourceMissing(f"`apt-get update` brought no package lists: {last_words(done)} Check /etc/apt.")

    def _download(self, package: str, version: str) -> Path:
        """Downloads into a separate folder, then renames: a killed download leaves no half file under a good name."""
        self._need_lists()
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            done = self._apt(["apt-get", "download", f"{package}={version}"], Path(folder))
            files = sorted(Path(folder).glob("*.deb"))
            if done.returncode or not files:
                raise SourceMissing(f"apt-get could not download {package} {version}: {last_words(done)} {UPDATE}")
            return keep(files[0], self.cache / files[0].name)

    def _offered(self, package: str) -> str:
        """The version that apt would install. Raises `SourceMissing` for a package that it does not know."""
        done = self._apt(["apt-cache", "policy", package])
        for line in done.stdout.splitlines():
            name, _, value = line.strip().partition(": ")
            if name == "Candidate" and value != "(none)":
                return value
        update = UPDATE[0].lower() + UPDATE[1:]
        raise SourceMissing(f"apt knows no package {package!r}. Check its name. If it is new: {update}")

    def _has_lists(self) -> bool:
        """Whether apt has a package list of at least one repository."""
        done = self._apt(["apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: Packages"])
        return any(Path(line).exists() for line in done.stdout.splitlines())

    def _apt(self, command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a program of apt with apt's cache inside ours: needs no root, and reads the lists in 0.01 s instead of 0.7 s."""
        room = self.cache / "apt"
        room.mkdir(parents=True, exist_ok=True)
        settings = {
            "Dir::Cache": str(room), "Dir::Cache::pkgcache": "pkgcache.bin", "Dir::Cache::srcpkgcache": "",
            "APT::Sandbox::User": "root",  # as root, apt would drop to a user who cannot write here, and warn
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        return run_quietly([command[0], *options, *command[1:]], folder)


def run_quietly(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command in plain English; raises `SourceMissing` if the program does not exist."""
    if not shutil.which(command[0]):
        raise SourceMissing(f"this machine has no {command[0]}, which sources of kind debian need. "
                            "Use Debian or Ubuntu (a container will do), or another kind of source.")
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The program's last error line, as a sentence."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
    return (lines[-1].removeprefix("E: ").rstrip(".") if lines else f"it ended with {done.returncode}") + "."
