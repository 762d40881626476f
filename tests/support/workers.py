"""Decides which tests run on the same worker: those of one file, and all tests that share one clone."""

from xdist.scheduler import LoadScopeScheduling

CLONE, ALONE = "tests/e2e/", {"tests/e2e/test_smoke.py", "tests/e2e/test_slurm.py"}


class Together(LoadScopeScheduling):
    """A file's tests run on one worker; so do all of `e2e/`, whose clone takes a minute to make, except the longest two."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return CLONE if file.startswith(CLONE) and file not in ALONE else file
