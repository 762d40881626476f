"""How the tests share a machine: one thread a process, and on several workers what shares a fixture stays together."""

import os

import pytest

# threads of torch that wait for each other burn ten times what a tiny model's sums take; before anything imports torch
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests run on one worker, and so do those that look at the tiny recipe's first run, whatever their file."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("tiny" if "tiny_line" in fixtures else item.path.stem))
