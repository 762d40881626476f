"""Makes a child process die with its parent, even at `kill -9`, so that no orphan is left (Linux)."""

import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def dying_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """What a new child runs before its program, as `preexec_fn`: the kernel sends it `number` when its parent ends.

    The parent is the thread that starts the child: start children from the main thread. What must not happen between fork
    and exec (loading libc, looking up names) happens here, before.
    """
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    return bind


def die_with_parent() -> None:
    """The same for a process that is running already, started by a shell or by DVC: SIGTERM when its parent ends."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
