"""Applies a function to pieces of work in several processes, and ends all of them at once if the work must stop."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.synchronize import Event
from typing import TypeVar

from components.errors import WorkerFailed

LOOK_SECONDS = 0.2
DROP_SECONDS = 3.0
"""How long a process that was told to stop may still work; a single page can take that long."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)

Piece = TypeVar("Piece")
Look = Callable[[], None]


class Dropped(Exception):  # never leaves the processes
    """The piece in hand is not wanted any more."""


def do_all(function: Callable[[Piece, Look], None], pieces: Collection[Piece], workers: int, look: Look) -> None:
    """Calls `function` on every piece, begun in order; with one worker, in this very process.

    `look` is called every moment. What `look` or a piece raises leaves this function as soon as every process has called the
    `look` that its `function` was given. Raises `WorkerFailed` if a process was killed.
    """
    if workers == 1:
        for piece in pieces:
            look()
            function(piece, look)
        return
    context = multiprocessing.get_context("forkserver")
    start_deaf_forkserver()
    stop = context.Event()
    with ProcessPoolExecutor(workers, context, begin, (stop,)) as pool:
        left = {pool.submit(do_one, function, piece) for piece in pieces}
        try:
            while left:
                look()
                done, left = wait(left, LOOK_SECONDS, FIRST_EXCEPTION)
                for future in done:
                    future.result()
        except BrokenProcessPool as error:
            raise WorkerFailed(
                f"one of the {workers} processes of clean was killed; most often the machine ran out of memory. "
                "Look for it in `dmesg`, or lower `workers` of the site."
            ) from error
        finally:
            stop.set()
            late = threading.Timer(DROP_SECONDS, kill_children)
            late.start()
            pool.shutdown(cancel_futures=True)
            late.cancel()


def start_deaf_forkserver() -> None:
    """Starts the server whose processes do not hear the signals that Slurm sends to all of a job: this process tells them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # starting the tracker lets SIGTERM through again
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def kill_children() -> None:
    """Ends the processes that still run; the pieces that they have in hand were to be dropped."""
    for child in multiprocessing.active_children():
        child.kill()


_stopping: list[Event] = []
"""The event of this process, if it is a worker."""


def begin(stop: Event) -> None:
    """Runs first in every process."""
    _stopping.append(stop)
    end_with_parent()


def do_one(function: Callable[[Piece, Look], None], piece: Piece) -> None:
    """Runs in one of the processes."""
    function(piece, drop_if_stopping)


def drop_if_stopping() -> None:
    """Raises `Dropped` once the others were told to stop."""
    if _stopping[0].is_set():
        raise Dropped


def end_with_parent() -> None:
    """Ends this worker when the process that started it dies, `kill -9` included: a pool alone would leave it behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (connection.wait([sentinel]), os._exit(1)), daemon=True).start()
