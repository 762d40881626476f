"""What holds for all tests: their tiers, one thread a process, and on several workers what shares a fixture stays together."""

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

# threads of torch that wait for each other burn ten times what a tiny model's sums take; before anything imports torch
os.environ["OMP_NUM_THREADS"] = "1"

# how long an example takes says how busy the machine is, and nothing about the code
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

UNIT = "tests/unit/"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The nightly workflow's machines each run one shard."""
    from tests.support.workers import parse_shard

    parser.addoption("--shard", type=parse_shard, metavar="K/N", help="run the Kth of N shards of what -m and -k select")


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """Commands of a test write for their owner alone (`infra/private.py`); the next test starts as if they had not run."""
    umask = os.umask(0o022)
    yield
    os.umask(umask)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Unit tests are quick, before `-m` selects; of what is selected, `--shard` keeps its part."""
    for item in items:
        if item.nodeid.startswith(UNIT):
            item.add_marker(pytest.mark.quick)
        if {"quick", "long"} <= {mark.name for mark in item.iter_markers()}:
            raise pytest.UsageError(f"{item.nodeid} is quick and long: `make test-quick` is a part of `make test`")
    yield
    if config.getoption("shard"):
        keep_shard(config, items)


def keep_shard(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests of the other shards."""
    from tests.support.workers import shard

    kept = shard([item.nodeid for item in items], *config.getoption("shard"))
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
    items[:] = [item for item in items if item.nodeid in kept]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """On several workers. xdist's own `loadgroup` groups nothing since pytest 9.2 (its issue 1386)."""
    from tests.support.workers import Together

    return Together(config, log)
