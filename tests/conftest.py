"""How the tests share a machine: one thread a process, and on several workers what shares a fixture stays together."""

import os
from typing import Any

import pytest
from hypothesis import settings

# threads of torch that wait for each other burn ten times what a tiny model's sums take; before anything imports torch
os.environ["OMP_NUM_THREADS"] = "1"

# how long an example takes says how busy the machine is, and nothing about the code
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """On several workers. xdist's own `loadgroup` groups nothing since pytest 9.2 (its issue 1386)."""
    from tests.support.workers import Together

    return Together(config, log)
