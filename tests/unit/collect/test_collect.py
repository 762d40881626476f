"""What collect promises about its WARC files, its manifest and its errors."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from pydantic import ValidationError

from components.collect.warc import WarcCollector
from components.errors import InputError, SourceMissing
from components.formats.digests import digest_file, digest_path
from components.formats.manifest import read_manifest, warc_path
from tests.support.builders.texts import JAPANESE, html, prose
from tests.support.fakes import make_context


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "deep").mkdir(parents=True)
    for number in range(3):
        (folder / f"page{number}.html").write_bytes(html(prose(JAPANESE, number, 6)))
    (folder / "deep" / "old.html.gz").write_bytes(gzip.compress(html(prose(JAPANESE, 9, 6)), mtime=0))
    (folder / "style.css").write_text("p { margin: 0 }", encoding="utf-8")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}\n", encoding="utf-8")
    return {"kind": "local", "name": "base", "path": str(folder), "sha256": digest_path(folder), "licence": "Apache-2.0"}


def local(path: Path, name: str = "site", **changes: str) -> dict[str, str]:
    values = {"kind": "local", "name": name, "path": str(path), "sha256": digest_path(path), "language": "ja",
              "licence": "CC0-1.0"}
    return values | changes


def collector(model: dict[str, str], *sources: dict[str, str]) -> WarcCollector:
    return WarcCollector.model_validate({"kind": "warc", "version": 1, "sources": list(sources), "model": model})


def records(path: Path) -> list[Any]:
    found = []
    for record in ArchiveIterator(path, fsspec_args=False):
        record.freeze()
        found.append(record)
    return found


def test_html_pages_become_responses_with_http_headers(tmp_path: Path, pages: Path, model: dict[str, str]) -> None:
    report = collector(model, local(pages)).run(make_context(tmp_path), tmp_path / "out")
    first, *responses = records(warc_path(tmp_path / "out", "site"))
    assert first.record_type == WarcRecordType.warcinfo
    assert [r.record_type for r in responses] == [WarcRecordType.response] * 4
    assert [r.headers["WARC-Target-URI"] for r in responses] == [
        "local:site/deep/old.html.gz", "local:site/page0.html", "local:site/page1.html", "local:site/page2.html"
    ]
    assert responses[0].http_headers["Content-Type"] == "text/html"
    assert responses[0].reader.read() == html(prose(JAPANESE, 9, 6))
    raw = ArchiveIterator(warc_path(tmp_path / "out", "site"), parse_http=False, fsspec_args=False)
    assert [record.verify_block_digest() for record in raw] == [True] * 5
    assert (report.pages, report.sources, report.languages, report.model_files) == (4, 1, ["ja"], ["config.json"])


def test_the_same_sources_give_the_same_bytes(tmp_path: Path, pages: Path, model: dict[str, str]) -> None:
    twice = []
    for name in ("one", "two"):
        collector(model, local(pages)).run(make_context(tmp_path), tmp_path / name)
        twice.append(digest_path(tmp_path / name))
    assert twice[0] == twice[1]


def test_the_manifest_pins_every_byte_and_names_no_folder_of_this_machine(
    tmp_path: Path, pages: Path, model: dict[str, str]
) -> None:
    out = tmp_path / "out"
    collector(model, local(pages)).run(make_context(tmp_path), out)
    manifest = read_manifest(out)
    (source,) = manifest.sources
    assert source.version == source.archive.sha256 == digest_path(pages)
    assert source.warc.sha256 == digest_file(warc_path(out, "site"))
    assert source.warc.bytes == warc_path(out, "site").stat().st_size
    assert manifest.model.files["config.json"].sha256 == digest_file(out / "model" / "config.json")
    assert str(tmp_path) not in (out / "manifest.json").read_text(encoding="utf-8")


def test_json_lines_and_source_code_become_resources(tmp_path: Path, model: dict[str, str]) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    lines = [{"text": JAPANESE[0], "url": "https://example.org/a"}, {"text": JAPANESE[1], "title": "b"}]
    (folder / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    (folder / "b.py").write_text("def wing():\n    return 2\n", encoding="utf-8")
    collector(model, local(folder)).run(make_context(tmp_path), tmp_path / "out")
    found = records(warc_path(tmp_path / "out", "site"))[1:]
    assert [r.record_type for r in found] == [WarcRecordType.resource] * 3
    assert [(r.headers["WARC-Target-URI"], r.reader.read().decode()) for r in found] == [
        ("https://example.org/a", JAPANESE[0]),
        ("local:site/a.jsonl.gz#2", JAPANESE[1]),
        ("local:site/b.py", "def wing():\n    return 2\n"),
    ]


def test_warc_files_are_taken_over_record_by_record(tmp_path: Path, pages: Path, model: dict[str, str]) -> None:
    collector(model, local(pages)).run(make_context(tmp_path), tmp_path / "first")
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    packed = warc_path(tmp_path / "first", "site").read_bytes()
    (crawl / "a.warc.gz").write_bytes(packed)
    (crawl / "b.warc").write_bytes(gzip.decompress(packed))
    report = collector(model, local(crawl, "crawl")).run(make_context(tmp_path), tmp_path / "second")
    assert report.pages == 8
    responses = ArchiveIterator(
        warc_path(tmp_path / "second", "crawl"), record_types=WarcRecordType.response, fsspec_args=False
    )
    assert sum(1 for _ in responses) == 8


@pytest.mark.parametrize(("name", "content", "words"), [
    ("a.warc.gz", b"\x1f\x8b\x08 not a WARC file", "a.warc.gz"),
    ("a.jsonl", b'{"text": "one"}\n{"body": "two"}\n', "a.jsonl, line 2"),
    ("a.html.gz", gzip.compress(b"<p>cut off</p>" * 99, mtime=0)[:-20], "a.html.gz is not a whole gzip file"),
    ("a.jsonl", b"", "hold no page at all"),
])
def test_a_damaged_file_is_named(tmp_path: Path, model: dict[str, str], name: str, content: bytes, words: str) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / name).write_bytes(content)
    with pytest.raises(SourceMissing, match=words) as caught:
        collector(model, local(folder, "crawl-2024")).run(make_context(tmp_path), tmp_path / "out")
    assert "'crawl-2024'" in str(caught.value)


def test_a_changed_folder_is_refused_and_its_new_digest_told(tmp_path: Path, pages: Path, model: dict[str, str]) -> None:
    source = local(pages)
    (pages / "page0.html").write_bytes(html(JAPANESE[3]))
    with pytest.raises(SourceMissing) as caught:
        collector(model, source).run(make_context(tmp_path), tmp_path / "out")
    for words in (source["sha256"], f"set its `sha256` to {digest_path(pages)} in params.yaml", "'site'"):
        assert words in str(caught.value)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, pages: Path, model: dict[str, str]) -> None:
    secret = tmp_path / "secret.html"
    secret.write_bytes(html(JAPANESE[5]))
    (pages / "out.html").symlink_to(secret)
    (pages / "in.html").symlink_to("page1.html")
    report = collector(model, local(pages)).run(make_context(tmp_path), tmp_path / "out")
    uris = [r.headers["WARC-Target-URI"] for r in records(warc_path(tmp_path / "out", "site"))[1:]]
    assert "local:site/in.html" in uris
    assert "local:site/out.html" not in uris
    assert report.pages == 5


def test_a_package_is_unpacked_once_for_all_its_sources(tmp_path: Path, model: dict[str, str]) -> None:
    archive = OnePackage(tmp_path)
    source = {"kind": "debian", "package": "swallow-doc", "release": "*", "language": "ja", "licence": "CC0-1.0"}
    sources = [source | {"name": name, "path": f"usr/share/doc/{name}"} for name in ("north", "south")]
    collector(model, *sources).run(make_context(tmp_path, debian=archive), tmp_path / "out")
    assert archive.unpacked == 1
    assert [s.uri for s in read_manifest(tmp_path / "out").sources] == ["deb:swallow-doc/2:1.0-1"] * 2
    assert not (tmp_path / "scratch" / "unpacked").exists()


def test_a_wrong_path_in_a_package_is_answered_with_its_neighbours(tmp_path: Path, model: dict[str, str]) -> None:
    source = {"kind": "debian", "package": "swallow-doc", "release": "*", "language": "ja", "licence": "CC0-1.0",
              "name": "east", "path": "usr/share/doc/east"}
    with pytest.raises(SourceMissing, match=r"'east' cannot be had.*In 'usr/share/doc' there are: north, south"):
        collector(model, source).run(make_context(tmp_path, debian=OnePackage(tmp_path)), tmp_path / "out")


@pytest.mark.parametrize("source", [
    {"kind": "debian", "package": "swallow-doc", "release": "*", "path": "usr"},
    {"kind": "pypi", "package": "swallow", "release": "1.0", "files": ["*.py"]},
    {"kind": "s3", "bucket": "swallow", "prefix": "nest"},
    {"kind": "huggingface", "repository": "martlet/swallow", "revision": "main", "files": ["*.jsonl"]},
])
def test_a_source_that_cannot_be_had_is_named(tmp_path: Path, model: dict[str, str], source: dict[str, Any]) -> None:
    named = source | {"name": "my-source", "language": "ja", "licence": "CC0-1.0"}
    with pytest.raises(SourceMissing, match="collect: the source 'my-source' cannot be had"):
        collector(model, named).run(make_context(tmp_path), tmp_path / "out")


def test_two_sources_cannot_share_a_name(pages: Path, model: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="two sources are called 'site'"):
        collector(model, local(pages), local(pages))


@pytest.mark.parametrize("package", ["--option", "Upper", "a b", "../x"])
def test_a_package_name_cannot_be_an_option_or_a_path(model: dict[str, str], package: str) -> None:
    source = {"kind": "debian", "name": "x", "package": package, "release": "*", "path": "usr", "language": "ja",
              "licence": "CC0-1.0"}
    with pytest.raises(ValidationError, match=r"debian\.package"):
        collector(model, source)


def test_a_folder_that_was_not_collected_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dvc repro collect"):
        read_manifest(tmp_path)


class OnePackage:
    """An archive with one package, of version 2:1.0-1."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "swallow-doc_2%3a1.0-1_all.deb"
        self.file.write_bytes(b"packed")
        self.unpacked = 0

    def fetch(self, package: str, version: str) -> Path:
        assert (package, version) == ("swallow-doc", "*")
        return self.file

    def unpack(self, archive: Path, folder: Path) -> None:
        self.unpacked += 1
        for seed, name in enumerate(("north", "south")):
            (folder / "usr/share/doc" / name).mkdir(parents=True)
            (folder / "usr/share/doc" / name / "index.html").write_bytes(html(prose(JAPANESE, seed, 6)))
