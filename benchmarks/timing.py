"""A piece of work in, its wall time out."""

import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """Wall time."""
    clock = time.perf_counter()
    work()
    return time.perf_counter() - clock
