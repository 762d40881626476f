"""Compressed bytes that become far too many are refused in one message, or cost one page, and never fill the memory."""

import contextlib
import gzip
import io
import json
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from components.collect.source import own_files
from components.collect.warc import WarcCollector
from components.errors import SourceMissing
from components.formats.digests import digest_path
from components.formats.limits import PAGE_BYTES
from infra.downloads.debian import DebianPackages
from infra.downloads.pypi import PyPIWheels
from tests.support.fakes import make_context

pytestmark = pytest.mark.quick

BYTES = 300_000_000
GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>hello"


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """0.3 MB of gzip that become 300 MB."""
    return gzip.compress(bytes(BYTES), mtime=0)


def collect(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text("{}")

    def local(name: str) -> dict[str, str]:
        path = tmp_path / name
        return {"kind": "local", "name": name, "path": str(path), "sha256": digest_path(path), "licence": "CC0-1.0"}

    values = {"kind": "warc", "version": 1, "sources": [local("in") | {"language": "ja"}], "model": local("base")}
    WarcCollector.model_validate(values).run(make_context(tmp_path), tmp_path / "out")


@pytest.mark.parametrize(("name", "words"), [
    ("a.html.gz", r"a\.html\.gz holds more than the 33,554,432 bytes of a page, unpacked\. Split it"),
    ("a.jsonl.gz", r"a\.jsonl\.gz, line 1, holds more than the 33,554,432 bytes of a page"),
])
def test_a_page_that_becomes_too_large_is_named(tmp_path: Path, bomb: bytes, name: str, words: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(bomb)
    with pytest.raises(SourceMissing, match=words):
        collect(tmp_path)


@pytest.mark.parametrize("body", [b"<p>page</p>" * 500, json.dumps({"text": "ab " * 900}).encode()])
@pytest.mark.parametrize("damage", ["cut", "corrupt", "no gzip"])
def test_a_gzip_file_that_is_broken_is_named(tmp_path: Path, damage: str, body: bytes) -> None:
    packed = gzip.compress(body + bytes(range(256)) * 4, mtime=0)
    broken = {"cut": packed[:-20], "corrupt": packed[:40] + b"\x00\xff\x00\xff" + packed[44:], "no gzip": body}[damage]
    name = "a.jsonl.gz" if body.startswith(b"{") else "a.html.gz"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(broken)
    with pytest.raises(SourceMissing, match=rf"{name}(, line 1: expected|\ is not a whole gzip file)"):
        collect(tmp_path)


READ = """
import sys
from pathlib import Path
from components.clean.engine.pages import read_pages
for _, page in read_pages(Path(sys.argv[1]), 0, "ja", 0):
    print(page.uri, page.status, len(page.body))
print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1])
"""


def record(number: int, block: bytes) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Date: 2024-01-01T00:00:00Z\r\nWARC-Target-URI: http://a.example/{number}\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012}>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + block + b"\r\n\r\n", mtime=0)


def test_a_record_that_becomes_too_large_costs_that_record(tmp_path: Path, bomb: bytes) -> None:
    """As a content coding, as a member of the WARC file itself, and as both."""
    coded = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: %s\r\n\r\n%s"
    blocks = [GOOD, coded % (b"gzip", bomb), coded % (b"deflate", zlib.compress(bytes(BYTES))), GOOD,
              GOOD + bytes(BYTES), GOOD]  # fmt: skip
    (tmp_path / "a.warc.gz").write_bytes(b"".join(record(number, block) for number, block in enumerate(blocks)))
    done = subprocess.run([sys.executable, "-c", READ, tmp_path / "a.warc.gz"], capture_output=True, text=True, check=True)
    *pages, peak = done.stdout.splitlines()
    page = ["200 8", "413 0", "413 0", "200 8", "413 0", "200 8"]
    assert pages == [f"http://a.example/{number} {facts}" for number, facts in enumerate(page)]
    assert int(peak) * 1024 < BYTES, "memory held a whole bomb"


def test_a_page_of_the_largest_size_is_read(tmp_path: Path) -> None:
    body = b"x" * (PAGE_BYTES - 8)
    (tmp_path / "a.warc.gz").write_bytes(record(0, GOOD + body))
    done = subprocess.run([sys.executable, "-c", READ, tmp_path / "a.warc.gz"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"http://a.example/0 200 {PAGE_BYTES}\n")


def test_a_wheel_that_becomes_too_large_is_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    wheel = tmp_path / "nest-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("nest/a.txt", "w") as member:
        for _ in range(BYTES // 1_000_000):
            member.write(bytes(1_000_000))
    with pytest.raises(SourceMissing, match=r"nest-1-py3-none-any\.whl has 2\d\d,\d{3} bytes and becomes more than 67,108,864"):
        PyPIWheels(tmp_path).unpack(wheel, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "words"), [
    ("../outside.txt", "leads out"), ("/tmp/../../outside.txt", "leads out"), ("n" * 300, "a name of more than 255 bytes"),
])
def test_a_wheel_with_a_name_that_no_file_may_have_is_refused(tmp_path: Path, name: str, words: str) -> None:
    wheel = tmp_path / "nest-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr(name, "x")
    with pytest.raises(SourceMissing, match=words):
        PyPIWheels(tmp_path).unpack(wheel, tmp_path / "out")


def debian_package(folder: Path, size: int) -> Path:
    """A package of one file of zeros."""
    (folder / "tree/DEBIAN").mkdir(parents=True)
    fields = "Package: nest\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: pages\n"
    (folder / "tree/DEBIAN/control").write_text(fields, encoding="utf-8")
    with (folder / "tree/zeros.html").open("wb") as stream:
        stream.truncate(size)
    package = folder / "nest_1_all.deb"
    subprocess.run(["dpkg-deb", "-Zgzip", "--root-owner-group", "--build", folder / "tree", package], check=True,
                   capture_output=True)  # fmt: skip
    return package


def test_a_debian_package_that_becomes_too_large_is_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    package = debian_package(tmp_path, BYTES)
    with pytest.raises(SourceMissing, match=r"nest_1_all\.deb has \d+,\d{3} bytes and becomes more than 67,108,864"):
        DebianPackages(tmp_path).unpack(package, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_debian_package_of_zeros_that_is_small_is_unpacked(tmp_path: Path) -> None:
    DebianPackages(tmp_path).unpack(debian_package(tmp_path, 20_000_000), tmp_path / "out")
    assert (tmp_path / "out/zeros.html").stat().st_size == 20_000_000


def evil_package(folder: Path) -> Path:
    """A package whose archive climbs out of its folder by a name, by a link to a folder, and by a hard link."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for kind, name, target in (
            (tarfile.REGTYPE, "./page.html", ""), (tarfile.REGTYPE, "../outside-1", ""),
            (tarfile.SYMTYPE, "./link", str(folder)), (tarfile.REGTYPE, "./link/outside-2", ""),
            (tarfile.SYMTYPE, "./secret.html", "/etc/passwd"), (tarfile.LNKTYPE, "./hard.html", "/etc/passwd"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, 1 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"x"))
    control = io.BytesIO()
    with tarfile.open(fileobj=control, mode="w:gz") as tar:
        fields = b"Package: evil\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: x\n"
        member = tarfile.TarInfo("./control")
        member.size = len(fields)
        tar.addfile(member, io.BytesIO(fields))
    package = folder / "evil_1_all.deb"
    body = b"!<arch>\n"
    parts = {b"debian-binary": b"2.0\n", b"control.tar.gz": control.getvalue(), b"data.tar.gz": data.getvalue()}
    for name, part in parts.items():
        body += b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(part)) + part + b"\n" * (len(part) % 2)
    package.write_bytes(body)
    return package


def test_a_debian_package_cannot_write_or_read_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    package = evil_package(tmp_path / "room")
    with contextlib.suppress(SourceMissing):
        DebianPackages(tmp_path).unpack(package, tmp_path / "room/out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["room"]
    assert sorted(path.name for path in (tmp_path / "room").iterdir()) in (["evil_1_all.deb"], ["evil_1_all.deb", "out"])
    inside = own_files(tmp_path / "room/out", ".")
    assert not any(b"root:" in path.read_bytes() for path in inside), inside
