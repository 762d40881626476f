"""Does things as another user of this machine, which only root can."""

import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

import pytest

NOBODY = 65534
Result = TypeVar("Result")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def as_nobody(action: Callable[[], Result]) -> Result:
    """What the action returns in a child of this process that is uid 65534, with no group of ours."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            answer: tuple[str, object] = ("", action())
        except BaseException:  # noqa: BLE001  (told by the parent)
            answer = (traceback.format_exc(), None)
        with os.fdopen(writing, "wb") as stream:
            pickle.dump(answer, stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        error, result = pickle.load(stream)  # noqa: S301  (our own child's)
    os.waitpid(child, 0)
    assert not error, error
    return result  # type: ignore[no-any-return]
