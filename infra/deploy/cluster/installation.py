"""Installs Slurm and munge on this machine with apt-get, if their programs are missing."""

import os
import re
import shutil
import subprocess

from components.errors import ServiceError

PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The daemons lie in /usr/sbin, which is not on every user's PATH."""


def missing_programs() -> list[str]:
    """The programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


def install() -> None:
    """Installs what is missing; needs root or sudo only then. Raises `ServiceError` with apt-get's own words."""
    if not missing_programs():
        return
    become = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        command = [*become, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", *arguments]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise ServiceError(f"{error.filename} is not on this machine. {by_hand()}") from None
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise ServiceError(f"`apt-get {arguments[0]}` failed: {' '.join(words)} {by_hand()}")
    need_programs()


def need_programs() -> None:
    """Raises `ServiceError` if a program is not installed."""
    if missing := missing_programs():
        raise ServiceError(f"not installed: {', '.join(missing)}. {by_hand()}")


def by_hand() -> str:
    """The next step, for people."""
    return f"As root, run `apt-get update && apt-get install --no-install-recommends {' '.join(PACKAGES)}`."


def slurm_version() -> tuple[int, int]:
    """The version of the installed Slurm, such as (22, 5) for 22.05.8."""
    path = shutil.which("slurmd", path=PATH) or "slurmd"
    words = subprocess.run([path, "-V"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", words)
    if not found:
        raise ServiceError(f"`slurmd -V` said {words!r}, which names no version. {by_hand()}")
    return int(found[1]), int(found[2])
