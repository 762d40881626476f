"""A function and batches in, the results in the order of the batches out, at any number of processes."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

from components.errors import WorkerFailed

Batch = TypeVar("Batch")
Result = TypeVar("Result")
AHEAD = 4
"""Batches in flight for each process: enough to keep it busy, few enough to bound the memory."""


def map_in_order(function: Callable[[Batch], Result], batches: Iterable[Batch], workers: int) -> Iterator[Result]:
    """`function` of every batch, in order; with one worker in this very process. Raises `WorkerFailed`."""
    if workers == 1:
        yield from map(function, batches)
        return
    start = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=start, initializer=end_with_parent) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for batch in batches:
                waiting.append(pool.submit(function, batch))
                if len(waiting) > AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise WorkerFailed(
                f"one of the {workers} processes of clean was killed; most often the machine ran out of memory. "
                "Look for it in `dmesg`, or lower `workers` of the site."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Ends this worker when the process that started it dies, `kill -9` included: a pool alone would leave it behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (wait([sentinel]), os._exit(1)), daemon=True).start()
