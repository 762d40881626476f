"""Measures the wall time of a piece of work."""

import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """Wall time of the work."""
    clock = time.perf_counter()
    work()
    return time.perf_counter() - clock
