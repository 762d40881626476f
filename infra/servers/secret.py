"""The secret that every server of a state folder demands: made once, in a file that its owner alone can read."""

import base64
import fcntl
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path

from pydantic import SecretStr

from components.errors import ServiceError
from infra.private import make_private

FILE = "secret"
USER = "martlet"
PATTERN = re.compile(r"[A-Za-z0-9_-]{32,}")


def secret_of(home: Path) -> SecretStr:
    """The secret of a state folder; the first to ask makes it. Raises `ServiceError` if another user may have read it."""
    path = home / FILE
    if not path.exists():
        make_secret(path)
    return read_secret(path)


def make_secret(path: Path) -> None:
    """Writes a new secret, whole from its first moment and never readable by others; of two at once, one makes it."""
    make_private(path.parent)
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix="secret-")  # of mode 0600
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_urlsafe(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        Path(partial).replace(path)
    finally:
        os.close(descriptor)


def read_secret(path: Path) -> SecretStr:
    """The secret in a file. Raises `ServiceError` if the file is open to others, or holds no secret."""
    with path.open(encoding="ascii", errors="replace") as stream:
        mode, text = stat.S_IMODE(os.fstat(stream.fileno()).st_mode), stream.read().strip()
    if mode & 0o077:
        raise ServiceError(f"{path} can be read by others (mode {mode:04o}). Remove it: the next start makes a new secret.")
    if not PATTERN.fullmatch(text):
        raise ServiceError(f"{path} holds no secret of Martlet's. Remove it: the next start makes a new one.")
    return SecretStr(text)


def authorization(secret: SecretStr) -> str:
    """The value of the `Authorization` header that the servers take."""
    return "Basic " + base64.b64encode(f"{USER}:{secret.get_secret_value()}".encode()).decode()
