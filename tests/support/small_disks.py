"""Runs a command with small, full or read-only disks, which are mounted where only that command sees them.

`python -m tests.support.small_disks` says what Martlet says when something failed, and nobody knows why.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FULL, NO_INODES, READ_ONLY = "size=64k", "size=8m,nr_inodes=1", "size=8m,ro"
ENTER = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
QUOTA_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
ssize_t write(int fd, const void *bytes, size_t count) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    const char *below = getenv("QUOTA_USED_UP_BELOW");
    if (length > 0 && below && !strncmp(path, below, strlen(below))) { errno = EDQUOT; return -1; }
    return ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(fd, bytes, count);
}
"""


def run_with(
    disks: Mapping[Path, str], command: Sequence[str], cwd: Path, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Runs the command with a tmpfs at each path, mounted with these options."""
    mounts = [word for path, options in disks.items() for word in (str(path), options)]
    for path in disks:
        path.mkdir(parents=True, exist_ok=True)
    mount = 'mount -t tmpfs -o "$2" none "$1" && shift 2 && ' * len(disks)
    script = f'{mount}cd "$1" && shift && exec "$@"'
    return subprocess.run(
        [*ENTER, "sh", "-c", script, "sh", *mounts, str(cwd), *command], text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )


def quota_shim(folder: Path) -> Path:
    """A library for LD_PRELOAD under which every write below $QUOTA_USED_UP_BELOW fails with EDQUOT.

    It stands in for a real quota, which needs a kernel and a file system that a test cannot ask for.
    """
    (folder / "quota.c").write_text(QUOTA_SHIM, encoding="utf-8")
    library = folder / "quota.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, folder / "quota.c", "-ldl"], check=True)
    return library


if __name__ == "__main__":
    from components.errors import MartletError
    from infra.disk import user_message
    from infra.settings import Settings

    sys.stdout.write(f"{user_message(MartletError('the work failed.'), Settings())}\n")
