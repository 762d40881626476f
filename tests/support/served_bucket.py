"""A bucket of an S3 server on loopback, for tests of what reads buckets."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def served_bucket(name: str, objects: Mapping[str, bytes], **variables: str) -> Iterator[tuple[str, Any]]:
    """The server's address and a client of it; keys, region and `variables` are in the environment meanwhile."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in (keys | variables).items():
            patch.setenv(variable, value)
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
        client.create_bucket(Bucket=name)
        for key, body in objects.items():
            client.put_object(Bucket=name, Key=key, Body=body)
        yield f"http://{host}:{port}", client
    server.stop()
