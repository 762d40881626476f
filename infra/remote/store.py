"""The files of a DVC remote, by DVC's own plug-ins; whatever fails there is one message that says what to do."""

import errno
import os
import posixpath
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.errors import ServiceError, chain_of
from infra.remote.address import Remote

KEPT = "Nothing is lost: what was computed stays here. Start again then, and only what is missing is sent."
CLIENTS = {"s3": "AWS_ENDPOINT_URL, AWS_REGION, AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}
"""Where the client of a kind of remote gets its address and keys."""
FULL = ("QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "XMinioStorageFull", "507")
REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "Unauthorized",
           "RequestTimeTooSkewed", "401", "403")  # fmt: skip
NO_PLUG_IN = ("RemoteMissingDepsError", "ModuleNotFoundError", "ImportError")


class RemoteRefused(ServiceError):
    """The remote did not do what was asked: away, slow, full, without such a bucket, or with other keys."""


class RemoteStore:
    """The remote's files, by their names below its URL."""

    def __init__(self, remote: Remote) -> None:
        """Raises `RemoteRefused` for a URL that DVC does not know, or whose plug-in is not installed."""
        self.remote = remote
        self.url = remote["url"]
        # five tries by s3fs, each of which botocore makes this often: a store that hangs is given up after minutes, not an hour
        os.environ.setdefault("AWS_MAX_ATTEMPTS", "2")
        from dvc.data_cloud import Remote as DvcRemote
        from dvc.fs import get_cloud_fs

        with self.doing("opened"):
            kind, options, self.path = get_cloud_fs(None, **remote)
            self.fs: Any = kind(**options)
            self.objects: Any = DvcRemote("", self.path, self.fs, **options).odb
            _ = self.fs.fs  # the plug-in's own client, made now

    def place(self, *names: str) -> str:
        """The path of a file, as the plug-in takes it."""
        return posixpath.join(self.path, *names)

    def exists(self, *names: str) -> bool:
        """Whether there is such a file."""
        with self.doing("asked"):
            self.fs.fs.invalidate_cache()
            return bool(self.fs.exists(self.place(*names)))

    def listed(self, *names: str) -> dict[str, float]:
        """The names of the files in a folder, with the second in which each was written; the oldest first."""
        with self.doing("listed"):
            self.fs.fs.invalidate_cache()
            folder = self.place(*names)
            if not self.fs.exists(folder):
                return {}
            found = self.fs.ls(folder, detail=True)
        times = {posixpath.basename(each["name"]): seconds_of(each) for each in found if each["type"] == "file"}
        return dict(sorted(times.items(), key=lambda item: (item[1], item[0])))

    def put(self, file: Path, *names: str) -> None:
        """Stores a file under its name, whole or not at all."""
        with self.doing("written to"):
            place = self.place(*names)
            self.fs.makedirs(posixpath.dirname(place), exist_ok=True)
            if self.fs.protocol in ("ssh", "webdav", "webdavs", "hdfs", "webhdfs"):  # others write in one step
                partial = f"{place}.{uuid.uuid4().hex}"
                self.fs.put_file(str(file), partial)
                self.fs.move(partial, place)
            else:
                self.fs.put_file(str(file), place)

    def get(self, file: Path, *names: str) -> None:
        """Fetches a file."""
        with self.doing("read"):
            self.fs.get_file(self.place(*names), str(file))

    def remove(self, *names: str) -> None:
        """Removes a file; one that is not there is fine."""
        with self.doing("written to"):
            try:
                self.fs.remove(self.place(*names))
            except FileNotFoundError:
                return

    def try_writing(self, file: Path) -> None:
        """Writes a small file and removes it again. Raises `RemoteRefused` if results could not be sent."""
        name = f"trial-{uuid.uuid4().hex}"
        self.put(file, "git", name)
        self.remove("git", name)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Raises `RemoteRefused` for whatever goes wrong inside: each plug-in has errors of its own."""
        try:
            yield
        except ServiceError:
            raise
        except Exception as error:  # noqa: BLE001
            raise self.refused(what, error) from None

    def refused(self, what: str, error: BaseException) -> RemoteRefused:
        """The message for an error of the plug-in's: what could not be done, why, and the next step."""
        scheme = urlsplit(self.url).scheme
        reason, step = explain(error, scheme)
        return RemoteRefused(f"the remote {self.url} could not be {what}: {reason}. {step} {KEPT}")


def explain(error: BaseException, scheme: str) -> tuple[str, str]:
    """Why the remote refused, and what to do about it."""
    causes = list(chain_of(error))
    names, text = {type(cause).__name__ for cause in causes}, " ".join(str(cause) for cause in causes)
    codes = {str(answer_of(cause).get("Code")) for cause in causes}
    check = f"Check {CLIENTS[scheme]}." if scheme in CLIENTS else "Check its URL, and what its client reads."
    words = own_words(causes)
    if names & set(NO_PLUG_IN):
        return f"DVC's plug-in for {scheme}:// is not installed", f"Install it beside Martlet: `pip install 'dvc[{scheme}]'`."
    if codes & set(FULL) or any(getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT) for cause in causes):
        return f"it is full ({words})", "Free some space there, or have its quota raised."
    if "NoCredentialsError" in names or codes & set(REFUSED) or any(isinstance(cause, PermissionError) for cause in causes):
        return f"it refuses these keys ({words})", check
    if "NoSuchBucket" in codes or (scheme == "s3" and isinstance(error, FileNotFoundError)):
        return f"there is no such bucket, or nothing below that name ({words})", "Create the bucket, or correct MARTLET_REMOTE."
    if any(isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in causes) or "timed out" in text:
        return f"it did not answer in time ({words})", check
    return words, check


def answer_of(error: BaseException) -> dict[str, Any]:
    """What an S3 service answered, its code and message; empty if the error is none of its own."""
    response = getattr(error, "response", None)
    return dict(response.get("Error", {})) if isinstance(response, dict) else {}


def own_words(causes: list[BaseException]) -> str:
    """The service's own code and message, else the first error's words, on one line."""
    answer = next(filter(None, map(answer_of, causes)), {})
    if code := answer.get("Code"):
        return f"{code}: {answer['Message']}" if answer.get("Message") else str(code)
    return next((" ".join(str(cause).split()) for cause in causes if str(cause)), type(causes[0]).__name__)


def seconds_of(info: dict[str, Any]) -> float:
    """When a file was written, of what a plug-in says about it."""
    found = next((info[key] for key in ("mtime", "LastModified", "last_modified", "updated") if info.get(key)), 0.0)
    return float(found.timestamp() if hasattr(found, "timestamp") else found if isinstance(found, int | float) else 0.0)
