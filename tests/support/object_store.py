"""A real S3 service for the tests of a session: Ceph's gateway with one monitor and one disk, in a folder of its own."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("ceph-mon", "ceph-osd", "radosgw", "ceph-common")
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool")
SECONDS = 120.0
KEYS = {"AWS_ACCESS_KEY_ID": "hirundo-key", "AWS_SECRET_ACCESS_KEY": "swallow-never-lands"}
# each of the last three keeps a cluster without a manager from being refused, or from waiting for one
CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = [v1:127.0.0.1:{monitor_port}]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_crit = 1
osd_crush_chooseleaf_type = 0
ms_bind_msgr2 = false
public_network = 127.0.0.0/8
run_dir = {folder}/run
log_file = {folder}/log/$name.log
admin_socket = {folder}/run/$name.asok
osd_memory_target = 939524096
bluestore_block_size = 8589934592
mon_data = {folder}/mon
osd_data = {folder}/osd
osd_objectstore = bluestore
osd_class_update_on_start = false
osd_crush_update_on_start = false
rgw_data = {folder}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_enable_usage_log = false
rgw_bucket_quota_ttl = 0
"""


class ObjectStore:
    """A running service; `address` is its URL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.configuration = folder / "ceph.conf"
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Starts the daemons, and waits until the service answers."""
        for name in ("mon", "osd", "log", "run", "rgw"):
            (self.folder / name).mkdir()
        fsid, disk, monitor_port = str(uuid.uuid4()), str(uuid.uuid4()), free_port()
        text = CONFIGURATION.format(fsid=fsid, folder=self.folder, port=self.port, monitor_port=monitor_port)
        self.configuration.write_text(text, encoding="utf-8")
        monitors = str(self.folder / "monmap")
        self.call("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v1:127.0.0.1:{monitor_port}]", monitors)
        self.call("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors)
        self.daemon("ceph-mon", "-i", "a")
        self.call("ceph", "osd", "new", disk, "0")
        self.call("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=here", "root=default")
        self.call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self.daemon("ceph-osd", "-i", "0")
        keys = (f"--access-key={KEYS['AWS_ACCESS_KEY_ID']}", f"--secret-key={KEYS['AWS_SECRET_ACCESS_KEY']}")
        self.administer("user", "create", "--uid=martlet", "--display-name=martlet", *keys)
        self.daemon("radosgw", "-n", "client.rgw")
        self.wait()

    def call(self, *command: str) -> None:
        """Runs one of Ceph's commands to its end."""
        done = subprocess.run(
            [*command, "--conf", str(self.configuration)], capture_output=True, text=True, check=False, timeout=SECONDS
        )
        assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"

    def daemon(self, *command: str) -> None:
        """Starts one of Ceph's daemons in the foreground."""
        with (self.folder / "log" / f"{command[0]}.out").open("wb") as log:
            self.daemons.append(subprocess.Popen(
                [*command, "--conf", str(self.configuration), "-f"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            ))  # fmt: skip

    def administer(self, *command: str) -> None:
        """Runs `radosgw-admin`."""
        self.call("radosgw-admin", *command)

    def limit(self, bucket: str, objects: int) -> None:
        """Sets a bucket's quota; below 0: none."""
        scope = ("--quota-scope=bucket", f"--bucket={bucket}")
        self.administer("quota", "set", *scope, f"--max-objects={objects}")
        self.administer("quota", "enable" if objects >= 0 else "disable", *scope)

    def wait(self) -> None:
        """Waits until the gateway answers."""
        until = time.monotonic() + SECONDS
        while True:
            try:
                with urllib.request.urlopen(self.address, timeout=5):  # noqa: S310  (its own address)
                    return
            except OSError:
                assert time.monotonic() < until, (self.folder / "log/radosgw.out").read_text(encoding="utf-8")
                time.sleep(0.2)

    def stop(self) -> None:
        """Ends the daemons."""
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def environment(self, address: str = "") -> dict[str, str]:
        """What a client of it needs, of boto3's own variables."""
        return {**KEYS, "AWS_ENDPOINT_URL": address or self.address, "AWS_REGION": "us-east-1"}

    def client(self) -> Any:
        """A client of it."""
        import boto3

        return boto3.client(
            "s3", endpoint_url=self.address, region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip

    def new_bucket(self) -> str:
        """A bucket that nobody else uses."""
        name = f"martlet-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install() -> None:
    """Installs Ceph with apt-get, if its programs are missing."""
    if all(shutil.which(name) for name in PROGRAMS):
        return
    become = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        command = [*become, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """The service. Installs Ceph if it is missing; if that fails, so do the tests."""
    install()
    folder = Path(tempfile.mkdtemp(prefix="martlet-ceph-"))
    store = ObjectStore(folder)
    try:
        store.start()
        yield store
    finally:
        store.stop()
        shutil.rmtree(folder)
