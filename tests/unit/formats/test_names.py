"""A stranger's name can neither begin a line or a header, nor move a terminal's cursor; any other name stays as it is."""

import gzip
import json
import os
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator
from pydantic import ValidationError

from components.collect.source import copy_files
from components.collect.warc import WarcCollector
from components.errors import SourceMissing
from components.formats.digests import digest_path
from components.formats.files import write_json
from components.formats.manifest import read_manifest
from components.formats.names import header_uri, printable, printable_lines
from components.publish.lineage import LINEAGE_FILE, main
from tests.support.fakes import make_context

EVIL = ["a\r\nWARC-Type: request", "a\nb", "a\x1b[2Jb", "a\u202eb", "a\u2028b", "a\x7fb", "a\x85b", "a\udcffb"]


@pytest.mark.parametrize("name", EVIL)
def test_what_cannot_be_seen_is_spelled_out(name: str) -> None:
    assert printable(name).isprintable()
    assert json.loads(f'"{printable(name)}"') == name
    assert header_uri(name).isprintable()


@pytest.mark.parametrize("name", ["日本語 のページ.html", "café – x.txt", "a%20b?c=d#e", "𠮷野家.md"])
def test_an_ordinary_name_stays(name: str) -> None:
    assert printable(name) == header_uri(name) == printable_lines(name) == name


def test_bytes_that_are_no_text_become_those_bytes() -> None:
    assert header_uri("a\udcffb\u202e") == "a%FFb%E2%80%AE"
    assert printable_lines("a\n\tb\r") == "a\n\tb\\r"


def collector(folder: Path, **changes: str) -> WarcCollector:
    (folder / "base").mkdir(exist_ok=True)
    (folder / "base/config.json").write_text("{}")

    def local(name: str) -> dict[str, str]:
        path = folder / name
        return {"kind": "local", "name": name, "path": str(path), "sha256": digest_path(path), "licence": "CC0-1.0"}

    sources = [local("in") | {"language": "ja"} | changes]
    return WarcCollector.model_validate({"kind": "warc", "version": 1, "sources": sources, "model": local("base")})


def test_no_file_name_and_no_address_begins_a_header(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, name in enumerate(EVIL):
        (tmp_path / "in" / f"{name.replace('/', '')}{number}.html").write_text("<p>page</p>")
    lines = [json.dumps({"text": "text", "url": f"http://x.example/{name}"}) for name in EVIL]
    (tmp_path / "in/z.jsonl").write_text("".join(f"{line}\n" for line in lines))
    collector(tmp_path).run(make_context(tmp_path), tmp_path / "out")
    found = [record.headers for record in ArchiveIterator(tmp_path / "out/pages/in.warc.gz", fsspec_args=False)]
    assert len(found) == 1 + 2 * len(EVIL)
    names = {"WARC-Type", "WARC-Record-ID", "WARC-Date", "Content-Type", "Content-Length", "WARC-Target-URI",
             "WARC-Payload-Digest", "WARC-Block-Digest"}  # fmt: skip
    assert all({name for name, _ in headers} <= names for headers in found), found
    assert all(headers["WARC-Target-URI"].isprintable() for headers in found[1:])
    assert b"\r\nWARC-Type: request" not in gzip.decompress((tmp_path / "out/pages/in.warc.gz").read_bytes())
    assert read_manifest(tmp_path / "out").pages == 2 * len(EVIL)


def test_a_licence_of_two_lines_is_refused_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.html").write_text("<p>page</p>")
    with pytest.raises(ValidationError, match=r"licence\n.*'CC0-1\.0\\r\\nisPartOf: x' holds a line end"):
        collector(tmp_path, licence="CC0-1.0\r\nisPartOf: x")


@pytest.mark.parametrize("name", EVIL)
def test_a_models_file_of_such_a_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "weights").write_text("x")
    with pytest.raises(SourceMissing, match=r"is no name for a model's file"):
        copy_files({name: tmp_path / "weights"}, tmp_path / "model")


def test_the_verifier_says_one_line_for_each_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name in EVIL if "/" not in name]
    for name in names:
        (tmp_path / name).write_text("x")
    files = {"b\x1b[2J\nevery file is well": "0" * 64}
    write_json(tmp_path / LINEAGE_FILE, {"schema_version": 1, "stages": [], "files": files})
    assert main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(names) + 1
    assert all(line.isprintable() for line in lines)


def test_a_name_that_a_file_system_holds_is_digested_and_told_apart(tmp_path: Path) -> None:
    for name in (b"a\xff", b"a\xfe"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_text("x")
    before = digest_path(tmp_path)
    Path(os.fsdecode(bytes(tmp_path) + b"/a\xff")).unlink()
    assert digest_path(tmp_path) != before
