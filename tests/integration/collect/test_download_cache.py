"""What lies in the download cache is hashed again before use: with pip, apt, boto3 and the Hub's client, on loopback."""

import functools
import hashlib
import json
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.errors import SourceMissing
from infra.downloads.debian import DebianPackages
from infra.downloads.hub import HuggingFaceHub
from infra.downloads.objects import S3Objects
from infra.downloads.pypi import PyPIWheels
from tests.support.builders.damage import DAMAGES, damage
from tests.support.served_bucket import served_bucket

pytestmark = pytest.mark.quick


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class Served:
    """Something that answers on loopback until it is taken away."""

    def __init__(self, routes: type[BaseHTTPRequestHandler] | functools.partial[Any]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), routes)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Once; a second time does nothing."""
        if self.thread.is_alive():
            self.server.shutdown()
            self.server.server_close()
            self.thread.join()


@pytest.fixture
def folder_server(tmp_path: Path) -> Iterator[Served]:
    """Serves `tmp_path/served`."""
    (tmp_path / "served").mkdir()
    served = Served(functools.partial(Quiet, directory=str(tmp_path / "served")))
    yield served
    served.stop()


def test_a_wheel_that_was_replaced_under_its_name_is_downloaded_again(
    folder_server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, page = "nest-1.0-py3-none-any.whl", tmp_path / "served/nest"
    page.mkdir()
    with zipfile.ZipFile(page / name, "w") as wheel:
        wheel.writestr("nest/page.txt", "the page")
        wheel.writestr("nest-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("nest-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: nest\nVersion: 1.0\n")
    digest = hashlib.sha256((page / name).read_bytes()).hexdigest()
    (page / "index.html").write_text(f'<!DOCTYPE html><a href="{name}#sha256={digest}">{name}</a>', encoding="utf-8")
    monkeypatch.setenv("PIP_INDEX_URL", folder_server.address)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    wheels = PyPIWheels(tmp_path / "cache")
    kept = wheels.fetch("nest", "1.0")
    for kind in ("replaced", "removed"):
        damage(kept, kind)
        assert wheels.fetch("nest", "1.0").read_bytes() == (page / name).read_bytes()
    assert capsys.readouterr().err.count("it is fetched again") == 1
    damage(kept, "flip")
    folder_server.stop()
    with pytest.raises(SourceMissing, match=rf"{name} is damaged: expected SHA-256 {digest}, found .*pip could not download"):
        wheels.fetch("nest", "1.0")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [name, f"{name}.sha256"], "nothing half fetched"


@pytest.fixture
def repository(folder_server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    """An apt repository of one package, and an apt that knows no other."""
    tree, served = tmp_path / "tree", tmp_path / "served"
    (tree / "DEBIAN").mkdir(parents=True)
    fields = "Package: nest-doc\nVersion: 1:2.0\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: pages\n"
    (tree / "DEBIAN/control").write_text(fields, encoding="utf-8")
    (tree / "usr").mkdir()
    (tree / "usr/page.html").write_text("<p>page</p>", encoding="utf-8")
    deb = served / "nest-doc_2.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, deb], check=True, capture_output=True)
    body = deb.read_bytes()
    entry = f"{fields}Filename: ./{deb.name}\nSize: {len(body)}\nSHA256: {hashlib.sha256(body).hexdigest()}\n"
    (served / "Packages").write_text(entry, encoding="utf-8")
    (tmp_path / "lists/partial").mkdir(parents=True)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] {folder_server.address}/ ./\n", encoding="utf-8")
    (tmp_path / "apt.conf").write_text(
        f'Dir::State::lists "{tmp_path}/lists";\nDir::Etc::sourcelist "{tmp_path}/sources.list";\n'
        f'Dir::Etc::sourceparts "/dev/null";\nDir::State::status "/dev/null";\nAPT::Sandbox::User "root";\n'
        'Acquire::http::Proxy "DIRECT";\nAcquire::Retries "0";\n', encoding="utf-8",
    )  # fmt: skip
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    subprocess.run(["apt-get", "update", "-o", f"Dir::Cache={tmp_path}/apt"], check=True, capture_output=True)
    return folder_server


def test_a_damaged_debian_package_is_downloaded_again(
    repository: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packages, body = DebianPackages(tmp_path / "cache"), (tmp_path / "served/nest-doc_2.0_all.deb").read_bytes()
    kept = packages.fetch("nest-doc", "*")
    for release, kind in (("*", "cut"), ("1:2.0", "zeros"), ("1:2.0", "removed")):
        damage(kept, kind)
        assert packages.fetch("nest-doc", release).read_bytes() == body
    assert capsys.readouterr().err.count("it is fetched again") == 2
    damage(kept, "flip")
    repository.stop()
    with pytest.raises(SourceMissing, match=rf"{kept.name} is damaged: expected SHA-256 .*apt-get could not download nest-doc"):
        packages.fetch("nest-doc", "1:2.0")


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, Any]]:
    """An S3 server; its address and a client of it."""
    with served_bucket("nest", {"crawl/a.txt": b"the page of the bucket" * 50}, AWS_MAX_ATTEMPTS="1") as served:
        yield served


@pytest.mark.parametrize("kind", [*DAMAGES, "removed"])
def test_a_damaged_object_is_downloaded_again(
    bucket: tuple[str, Any], tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = S3Objects(tmp_path / "cache", bucket[0])
    store.fetch("nest", "crawl", tmp_path / "1")
    kept = next(path for path in (tmp_path / "cache").iterdir() if not path.suffix)
    damage(kept, kind)
    store.fetch("nest", "crawl", tmp_path / "2")
    assert (tmp_path / "2/a.txt").read_bytes() == b"the page of the bucket" * 50
    assert capsys.readouterr().err.count("is damaged") == (kind != "removed")


def test_an_object_that_comes_damaged_gets_no_name(bucket: tuple[str, Any], tmp_path: Path) -> None:
    """A proxy on the way that changes a byte of the body, and lets everything else through."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            import urllib.request

            request = urllib.request.Request(bucket[0] + self.path, headers=dict(self.headers))  # noqa: S310
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                body = answer.read().replace(b"the page", b"tha page")
                self.send_response(200)
                for name in ("ETag", "Content-Type"):
                    if answer.headers[name]:
                        self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    proxy = Served(Proxy)
    with pytest.raises(SourceMissing, match=r"s3://nest/crawl/a\.txt came damaged: expected MD5 [0-9a-f]{32}, found"):
        S3Objects(tmp_path / "cache", proxy.address).fetch("nest", "crawl", tmp_path / "1")
    proxy.stop()
    assert list((tmp_path / "cache").iterdir()) == []


COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL, LARGE = b'{"text": "one"}\n' * 40, b"weights" * 1000


def git_id(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


class HubOfOneModel(BaseHTTPRequestHandler):
    """A model of a small file and a large one, at one commit; contract as observed, not the real Hub."""

    bodies: dict[str, bytes]

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def answer(self) -> None:
        path, resolve = self.path.partition("?")[0], f"/martlet/nest/resolve/{COMMIT}/"
        if path == "/api/models/martlet/nest/revision/main":
            return self.reply(json.dumps({"id": "martlet/nest", "sha": COMMIT, "siblings": []}).encode(), "")
        if path == f"/api/models/martlet/nest/tree/{COMMIT}":
            large = {"oid": hashlib.sha256(LARGE).hexdigest(), "size": len(LARGE), "pointerSize": 135}
            tree = [{"type": "file", "path": "config.json", "size": len(SMALL), "oid": git_id(SMALL)},
                    {"type": "file", "path": "model.safetensors", "size": len(LARGE), "oid": "1" * 40, "lfs": large}]
            return self.reply(json.dumps(tree).encode(), "")
        name = path.removeprefix(resolve)
        tag = git_id(SMALL) if name == "config.json" else hashlib.sha256(LARGE).hexdigest()
        return self.reply(self.bodies[name], tag)

    def reply(self, body: bytes, tag: str) -> None:
        self.send_response(200)
        for name, value in (("Content-Length", str(len(body))), ("X-Repo-Commit", COMMIT), ("ETag", f'"{tag}"')):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[Served, dict[str, bytes]]]:
    """The server, and what it gives; a test may change that."""
    bodies = {"config.json": SMALL, "model.safetensors": LARGE}
    served = Served(type("Routes", (HubOfOneModel,), {"bodies": bodies}))
    yield served, bodies
    served.stop()


def fetch(served: Served, tmp_path: Path, folder: str, revision: str = "main") -> Path:
    """The model's folder, through the cache."""
    target = tmp_path / folder
    HuggingFaceHub(tmp_path / "cache", served.address).fetch("martlet/nest", revision, ["*"], target, dataset=False)
    return target


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", [*DAMAGES, "removed"])
def test_a_damaged_file_of_the_hub_is_fetched_again(
    hub: tuple[Served, dict[str, bytes]], tmp_path: Path, kind: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(hub[0], tmp_path, "1")
    damage(next((tmp_path / "cache").rglob(f"snapshots/*/{name}")).resolve(), kind)
    again = fetch(hub[0], tmp_path, "2", COMMIT)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == hub[1]
    assert capsys.readouterr().err.count("is damaged") == (kind != "removed")


def test_a_name_that_was_pointed_at_another_file_of_the_hub_is_noticed(
    hub: tuple[Served, dict[str, bytes]], tmp_path: Path
) -> None:
    fetch(hub[0], tmp_path, "1")
    config, model = (next((tmp_path / "cache").rglob(f"snapshots/*/{name}")) for name in ("config.json", "model.safetensors"))
    config.unlink()
    config.symlink_to(model.readlink())
    assert (fetch(hub[0], tmp_path, "2") / "config.json").read_bytes() == SMALL
    assert (fetch(hub[0], tmp_path, "3") / "model.safetensors").read_bytes() == LARGE


def test_a_damaged_file_that_the_hub_cannot_give_again_is_named(
    hub: tuple[Served, dict[str, bytes]], tmp_path: Path
) -> None:
    fetch(hub[0], tmp_path, "1")
    damage(next((tmp_path / "cache").rglob("snapshots/*/config.json")).resolve(), "cut")
    hub[0].stop()
    with pytest.raises(SourceMissing, match=rf"config\.json is damaged: expected {git_id(SMALL)}, found [0-9a-f]{{40}}\. "
                                            "It could not be fetched again: the Hub refused martlet/nest"):
        fetch(hub[0], tmp_path, "2", COMMIT)


def test_a_hub_that_gives_other_bytes_than_it_names_is_refused(
    hub: tuple[Served, dict[str, bytes]], tmp_path: Path
) -> None:
    hub[1]["model.safetensors"] = b"w3ights" * 1000
    with pytest.raises(SourceMissing, match=r"model\.safetensors is damaged: .*although it was just fetched"):
        fetch(hub[0], tmp_path, "1")
    hub[1]["model.safetensors"] = LARGE
    assert (fetch(hub[0], tmp_path, "2") / "model.safetensors").read_bytes() == LARGE


def test_a_cache_that_cannot_hold_links_is_checked_too(hub: tuple[Served, dict[str, bytes]], tmp_path: Path) -> None:
    """Some file systems have no symbolic links: the client then stores the files themselves."""
    fetch(hub[0], tmp_path, "1")
    config = next((tmp_path / "cache").rglob("snapshots/*/config.json"))
    blob = config.resolve()
    config.unlink()
    shutil.move(blob, config)
    assert (fetch(hub[0], tmp_path, "2", COMMIT) / "config.json").read_bytes() == SMALL
    damage(config, "flip")
    assert (fetch(hub[0], tmp_path, "3", COMMIT) / "config.json").read_bytes() == SMALL
