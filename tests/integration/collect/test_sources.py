"""The real package clients, a real S3 protocol and the Hub's real client: what collect fetches with."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.collect.warc import WarcCollector
from components.errors import SourceMissing
from components.formats.manifest import read_manifest
from infra.downloads.debian import DebianPackages
from infra.downloads.hub import HuggingFaceHub
from infra.downloads.objects import S3Objects
from infra.downloads.pypi import PyPIWheels
from tests.support.fakes import make_context
from tests.support.served_bucket import served_bucket

FAQ = {"kind": "debian", "name": "faq", "package": "debian-faq-ja", "release": "*", "path": "usr/share/doc/debian/FAQ",
       "language": "ja", "licence": "GPL-2.0-or-later"}
TOKENIZER = {"kind": "pypi", "name": "tokenizer", "package": "mistral-common", "release": "1.9.1", "licence": "Apache-2.0",
             "files": {"tokenizer.model": "mistral_common/data/tokenizer.model.v1"}}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_a_package_and_a_wheel_are_fetched_once(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_context(tmp_path, debian=DebianPackages(cache / "debian"), pypi=PyPIWheels(cache / "pypi"))
    collector = WarcCollector.model_validate({"kind": "warc", "version": 1, "sources": [FAQ], "model": TOKENIZER})
    report = collector.run(context, tmp_path / "one")
    assert report.pages >= 10
    assert report.model_files == ["tokenizer.model"]
    manifest = read_manifest(tmp_path / "one")
    assert manifest.sources[0].uri == f"deb:debian-faq-ja/{manifest.sources[0].version}"
    # the tokenizer.model that the Hub lists for mistralai/Mistral-7B-v0.1
    assert manifest.model.files["tokenizer.model"].sha256 == (
        "dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055"
    )
    for name in ("http_proxy", "https_proxy"):  # whoever goes to the network now, fails
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    collector.run(context, tmp_path / "two")
    assert (tmp_path / "one/manifest.json").read_bytes() == (tmp_path / "two/manifest.json").read_bytes()
    assert [p.name for p in (cache / "debian").iterdir() if p.is_dir()] == ["apt"], "a temporary folder was left"


def test_a_pinned_package_in_the_cache_needs_no_apt(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = DebianPackages(cache / "debian")
    version = packages.fetch("debian-faq-ja", "*").name.split("_")[1]
    monkeypatch.setenv("PATH", "/nonexistent")
    assert packages.fetch("debian-faq-ja", version).exists()
    with pytest.raises(SourceMissing, match=r"no apt-get.*Debian or Ubuntu"):
        packages.fetch("debian-faq-ja", "*")


def test_an_unknown_package_is_said_to_be_unknown(cache: Path) -> None:
    with pytest.raises(SourceMissing, match=r"apt knows no package 'swallow-nest-doc'.*apt-get update"):
        DebianPackages(cache / "debian").fetch("swallow-nest-doc", "*")


def test_an_unknown_version_carries_apts_own_words(cache: Path) -> None:
    with pytest.raises(SourceMissing, match=r"debian-faq-ja 99: Version '99' for 'debian-faq-ja' was not found"):
        DebianPackages(cache / "debian").fetch("debian-faq-ja", "99")


def test_without_package_lists_an_ordinary_user_is_told_what_root_must_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apt.conf").write_text(f'Dir::State::lists "{tmp_path}/lists";\n', encoding="utf-8")
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SourceMissing, match=r"no package lists on this machine\. As root, run `apt-get update`"):
        DebianPackages(tmp_path / "cache").fetch("debian-faq-ja", "*")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may fill apt's lists")
def test_without_package_lists_root_fetches_them_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lists/partial").mkdir(parents=True)
    # the folder of a test is closed to apt's own user
    settings = f'Dir::State::lists "{tmp_path}/lists";\nAPT::Sandbox::User "root";\n'
    (tmp_path / "apt.conf").write_text(settings, encoding="utf-8")
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    assert DebianPackages(tmp_path / "cache").fetch("debian-faq-ja", "*").suffix == ".deb"
    assert list((tmp_path / "lists").glob("*Packages*"))


def test_a_package_is_unpacked_below_a_folder_of_a_folder_that_is_not_there(cache: Path, tmp_path: Path) -> None:
    packages = DebianPackages(cache / "debian")
    packages.unpack(packages.fetch("debian-faq-ja", "*"), tmp_path / "not/there/faq")
    assert list((tmp_path / "not/there/faq").rglob("*.html"))


def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "x_1_all.deb"
    archive.write_bytes(b"!<arch>\nnothing")
    with pytest.raises(SourceMissing, match=r"could not unpack .*x_1_all\.deb"):
        DebianPackages(tmp_path).unpack(archive, tmp_path / "out")


def test_an_unknown_wheel_carries_pips_own_words(cache: Path) -> None:
    with pytest.raises(SourceMissing, match=r"pip could not download mistral-common==0\.0\.0\.99.*pip index versions"):
        PyPIWheels(cache / "pypi").fetch("mistral-common", "0.0.0.99")


def test_a_wheel_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "evil-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("../outside.txt", "out")
    with pytest.raises(SourceMissing, match=r"'\.\./outside\.txt', which leads out"):
        PyPIWheels(tmp_path).unpack(tmp_path / "evil-1-py3-none-any.whl", tmp_path / "in")
    assert not (tmp_path / "outside.txt").exists()


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, Any]]:
    """An S3 server on loopback; its address and a client of it."""
    objects = {"crawl/a.txt": b"one", "crawl/deep/b.txt": b"two", "crawl-2/c.txt": b"three", "crawl/": b""}
    with served_bucket("martlet-text", objects) as served:
        yield served


def test_objects_below_a_prefix_are_copied_and_only_those(bucket: tuple[str, Any], tmp_path: Path) -> None:
    S3Objects(tmp_path / "cache", bucket[0]).fetch("martlet-text", "crawl/", tmp_path / "got")
    found = {str(p.relative_to(tmp_path / "got")): p.read_bytes() for p in (tmp_path / "got").rglob("*") if p.is_file()}
    assert found == {"a.txt": b"one", "deep/b.txt": b"two"}


def test_the_digest_changes_with_an_object_and_only_then(bucket: tuple[str, Any], tmp_path: Path) -> None:
    address, client = bucket
    client.put_object(Bucket="martlet-text", Key="news/today.txt", Body=b"fair")
    store = S3Objects(tmp_path / "cache", address)
    first = store.fetch("martlet-text", "news", tmp_path / "1")
    assert store.fetch("martlet-text", "news", tmp_path / "2") == first
    client.put_object(Bucket="martlet-text", Key="news/today.txt", Body=b"rain")
    assert store.fetch("martlet-text", "news", tmp_path / "3") != first
    assert (tmp_path / "3/today.txt").read_bytes() == b"rain"
    kept = [path for path in (tmp_path / "cache").iterdir() if not path.name.endswith(".sha256")]
    assert len(kept) == 2, "one file for each version of the object, none half-written"


def test_the_address_comes_from_the_environment(
    bucket: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket[0])
    S3Objects(tmp_path / "cache").fetch("martlet-text", "crawl/a.txt", tmp_path / "got")
    assert (tmp_path / "got/a.txt").read_bytes() == b"one"


@pytest.mark.parametrize(("name", "prefix", "words"), [
    ("martlet-text", "nothing/here", "holds no object. Check the prefix"),
    ("no-such-bucket", "crawl", "S3 refused s3://no-such-bucket/crawl: .*NoSuchBucket"),
])
def test_an_absent_bucket_or_prefix_is_named(
    bucket: tuple[str, Any], tmp_path: Path, name: str, prefix: str, words: str
) -> None:
    with pytest.raises(SourceMissing, match=words):
        S3Objects(tmp_path / "cache", bucket[0]).fetch(name, prefix, tmp_path / "got")


def test_a_key_cannot_write_outside_its_folder(bucket: tuple[str, Any], tmp_path: Path) -> None:
    bucket[1].put_object(Bucket="martlet-text", Key="evil/../../outside.txt", Body=b"out")
    with pytest.raises(SourceMissing, match="leads out of its folder"):
        S3Objects(tmp_path / "cache", bucket[0]).fetch("martlet-text", "evil", tmp_path / "got")
    assert not (tmp_path / "outside.txt").exists()


COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"data/train.jsonl": b'{"text": "one"}\n', "data/test.jsonl": b'{"text": "two"}\n', "README.md": b"# Nest\n"}


def git_id(body: bytes) -> str:
    """By which git, and the Hub, name the bytes."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


class HubRoutes(BaseHTTPRequestHandler):
    """The few routes that a download needs, of one dataset at one commit; contract as observed, not the real Hub."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.answer(send_body=True)

    def do_HEAD(self) -> None:
        self.answer(send_body=False)

    def answer(self, *, send_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.asked.append((path, self.headers.get("Authorization")))
        api, resolve = "/api/datasets/martlet/nest/", f"/datasets/martlet/nest/resolve/{COMMIT}/"
        if path == f"{api}revision/main":
            return self.reply(200, json.dumps({"id": "martlet/nest", "sha": COMMIT, "siblings": []}).encode(), send_body)
        if path == f"{api}tree/{COMMIT}":
            tree = [{"type": "file", "path": n, "size": len(b), "oid": git_id(b)} for n, b in FILES.items()]
            return self.reply(200, json.dumps(tree).encode(), send_body)
        if path.startswith(resolve) and path.removeprefix(resolve) in FILES:
            return self.reply(200, FILES[path.removeprefix(resolve)], send_body)
        code = "RevisionNotFound" if path.startswith(f"{api}revision/") else "RepoNotFound"
        return self.reply(404, b"{}", send_body, code)

    def reply(self, status: int, body: bytes, send_body: bool, code: str = "") -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), ("X-Repo-Commit", COMMIT), ("X-Error-Code", code),
                            ("ETag", f'"{git_id(body)}"'), ("Content-Type", "application/json")):
            if value:
                self.send_header(name, value)
        self.end_headers()
        if send_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A loopback server with those routes; its address and what it was asked."""
    asked: list[tuple[str, str | None]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Routes", (HubRoutes,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_files_that_match_are_copied_and_the_commit_told(hub: tuple[str, Any], tmp_path: Path) -> None:
    commit = HuggingFaceHub(tmp_path / "cache", hub[0]).fetch(
        "martlet/nest", "main", ["data/*.jsonl"], tmp_path / "got", dataset=True
    )
    assert commit == COMMIT
    assert sorted(p.name for p in (tmp_path / "got").rglob("*") if p.is_file()) == ["test.jsonl", "train.jsonl"]
    assert (tmp_path / "got/data/train.jsonl").read_bytes() == FILES["data/train.jsonl"]
    assert (tmp_path / "got/data/test.jsonl").read_bytes() == FILES["data/test.jsonl"]


def test_a_commit_in_the_cache_needs_no_network(hub: tuple[str, Any], tmp_path: Path) -> None:
    address, asked = hub
    HuggingFaceHub(tmp_path / "cache", address).fetch("martlet/nest", "main", ["*.md"], tmp_path / "1", dataset=True)
    asked.clear()
    HuggingFaceHub(tmp_path / "cache", address).fetch("martlet/nest", COMMIT, ["*.md"], tmp_path / "2", dataset=True)
    assert asked == []
    assert (tmp_path / "2/README.md").read_bytes() == FILES["README.md"]


@pytest.mark.parametrize("token", ["hf_test", None])
def test_the_token_comes_from_the_environment_alone(
    hub: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    (tmp_path / "saved").write_text("hf_saved_on_this_machine", encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "saved"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    HuggingFaceHub(tmp_path / "cache", hub[0]).fetch("martlet/nest", "main", ["*.md"], tmp_path / "got", dataset=True)
    assert {header for _, header in hub[1]} == {f"Bearer {token}" if token else None}


@pytest.mark.parametrize(("repository", "revision", "files", "words"), [
    ("martlet/none", "main", ["*"], "the Hub refused martlet/none at main"),
    ("martlet/nest", "v9", ["*"], "the Hub refused martlet/nest at v9"),
    ("martlet/nest", "main", ["*.parquet"], r"no file matches \*\.parquet"),
])
def test_what_the_hub_does_not_have_is_named(
    hub: tuple[str, Any], tmp_path: Path, repository: str, revision: str, files: list[str], words: str
) -> None:
    with pytest.raises(SourceMissing, match=words):
        HuggingFaceHub(tmp_path / "cache", hub[0]).fetch(repository, revision, files, tmp_path / "got", dataset=True)


def test_a_hub_that_is_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="the Hub refused martlet/nest at main"):
        HuggingFaceHub(tmp_path / "cache", "http://127.0.0.1:9").fetch(
            "martlet/nest", "main", ["*"], tmp_path / "got", dataset=True
        )


def test_telemetry_is_off_in_a_clean_process_that_asked_the_hub(hub: tuple[str, Any], tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, infra.downloads.hub; folder = pathlib.Path(sys.argv[2]);"
        "infra.downloads.hub.HuggingFaceHub(folder / 'cache', sys.argv[1])"
        ".fetch('martlet/nest', 'main', ['*.md'], folder / 'got', dataset=True);"
        "import huggingface_hub.constants as c; print(c.HF_HUB_DISABLE_TELEMETRY)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and k != "DO_NOT_TRACK"}
    done = subprocess.run(
        [sys.executable, "-c", code, hub[0], str(tmp_path)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip().splitlines()[-1] == "True"
