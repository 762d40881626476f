"""Ways in which a file that lies on a disk becomes another one, or goes."""

import os
from collections.abc import Callable
from pathlib import Path

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flip": lambda body: body[: len(body) // 2] + bytes([body[len(body) // 2] ^ 1]) + body[len(body) // 2 + 1 :],
    "cut": lambda body: body[: len(body) * 2 // 3],
    "zeros": lambda body: bytes(len(body)),
    "replaced": lambda _: b"something else entirely",
    "empty": lambda _: b"",
}


def damage(path: Path, kind: str, *, keeps_time: bool = True) -> None:
    """Changes the file in place, so that links to it see the change; its mode stays. `removed` is a kind too."""
    if kind == "removed":
        path.unlink()
        return
    body, before, mode = path.read_bytes(), path.stat(), path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(DAMAGES[kind](body))
    path.chmod(mode)
    if keeps_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
