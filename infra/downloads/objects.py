"""Copies the objects below a prefix of an S3 bucket, and digests their ETags: any S3 service, through boto3.

Address and keys come from boto3's own environment variables (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, …).
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import SourceMissing
from components.formats.digests import digest_value
from infra.downloads.archives import refuse_name
from infra.downloads.credentials import tidy_aws_variables
from infra.downloads.kept import keep, whole_or_fetched


@dataclass(frozen=True)
class Stored:
    """An object as the bucket lists it; `name` is its key below the prefix."""

    key: str
    name: str
    etag: str


class S3Objects:
    """Reads buckets; an object's bytes are kept in the cache under bucket, key and ETag, and hashed again before use."""

    def __init__(self, cache: Path, endpoint: str | None = None) -> None:
        self.cache = cache
        self.endpoint = endpoint

    def fetch(self, bucket: str, prefix: str, folder: Path) -> str:
        """Copies every object at or below `prefix`, read as a folder, into `folder`; returns a digest of the ETags.

        Raises `SourceMissing` if the service refuses, there is no such object, or an object changes meanwhile.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            client = self._client()
            found = sorted(listed(client, bucket, prefix), key=lambda stored: stored.name)
        except (BotoCoreError, ClientError) as error:
            raise refused(f"s3://{bucket}/{prefix}", error) from error
        if not found:
            raise SourceMissing(f"s3://{bucket}/{prefix} holds no object. Check the prefix.")
        for stored in found:
            place(self._cached(client, bucket, stored), folder, stored.name)
        return digest_value({stored.name: stored.etag for stored in found})

    def _client(self) -> Any:
        """A client for this adapter's endpoint, or for the environment's if the adapter has none."""
        import boto3

        tidy_aws_variables()
        return boto3.client("s3", endpoint_url=self.endpoint)

    def _cached(self, client: Any, bucket: str, stored: Stored) -> Path:
        """The object's bytes in the cache; they are downloaded unless they lie there as they were downloaded once."""
        path = self.cache / hashlib.sha256(f"{bucket}\n{stored.key}\n{stored.etag}".encode()).hexdigest()
        if path.exists():
            return whole_or_fetched(path, lambda: self._download(client, bucket, stored, path))
        return self._download(client, bucket, stored, path)

    def _download(self, client: Any, bucket: str, stored: Stored, path: Path) -> Path:
        """Streams the object into a temporary file, which is renamed when it is complete."""
        from botocore.exceptions import BotoCoreError, ClientError

        where = f"s3://{bucket}/{stored.key}"
        self.cache.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=self.cache)
        try:
            response = client.get_object(Bucket=bucket, Key=stored.key)
            if response["ETag"] != stored.etag:
                raise SourceMissing(f"{where} was replaced while it was read. Start again.")
            digest = hashlib.md5(usedforsecurity=False)
            with os.fdopen(handle, "wb") as stream:
                for chunk in response["Body"].iter_chunks(1 << 20):
                    stream.write(chunk)
                    digest.update(chunk)
            expected = content_digest(response)
            if expected not in (None, digest.hexdigest()):
                raise SourceMissing(f"{where} came damaged: expected MD5 {expected}, found {digest.hexdigest()}. Start again.")
            return keep(Path(partial), path)
        except (BotoCoreError, ClientError) as error:
            raise refused(where, error) from error
        finally:
            Path(partial).unlink(missing_ok=True)


def refused(where: str, error: Exception) -> SourceMissing:
    """The error for what the service, or the way to it, did not give."""
    return SourceMissing(f"S3 refused {where}: {error}. Check the bucket's name, AWS_ENDPOINT_URL and the keys.")


def content_digest(response: Mapping[str, Any]) -> str | None:
    """The MD5 of the object's bytes, if its ETag is one: not for objects of several parts or under a customer's key.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """
    is_sealed = response.get("SSECustomerAlgorithm") or response.get("ServerSideEncryption") not in (None, "AES256")
    etag = str(response["ETag"]).strip('"').lower()
    return etag if re.fullmatch(r"[0-9a-f]{32}", etag) and not is_sealed else None


def listed(client: Any, bucket: str, prefix: str) -> Iterator[Stored]:
    """The objects at or below the prefix; the empty ones that stand for folders are left out."""
    start = prefix.strip("/")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start):
        for item in page.get("Contents", []):
            key = item["Key"]
            if key == start:
                yield Stored(key, key.rsplit("/", 1)[-1], item["ETag"])
            elif (not start or key.startswith(f"{start}/")) and not key.endswith("/"):
                yield Stored(key, key.removeprefix(start).lstrip("/"), item["ETag"])


def place(file: Path, folder: Path, name: str) -> None:
    """Copies a file to its name below `folder`. Raises `SourceMissing` for a name that leads out of it."""
    target = folder / name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise SourceMissing(f"an object is called {name!r}, which leads out of its folder. Rename it.")
    refuse_name("the bucket", name, folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise SourceMissing(f"an object is called {name!r}, but another is called as its folder is. Rename one.") from None
