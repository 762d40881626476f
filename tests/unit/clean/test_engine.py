"""What clean promises about its output: every page counted once, the first duplicate kept, the same bytes anywhere."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.clean.contract import CleanReport
from components.clean.passthrough import PassthroughCleaner
from components.clean.swallow import SwallowCleaner
from components.collect.warc import WarcCollector
from components.data.documents import Document, read_documents
from components.errors import EmptyCorpus, InputError
from components.formats.digests import digest_path
from components.formats.manifest import warc_path
from tests.support.builders.texts import ENGLISH, FRENCH, JAPANESE, html, prose
from tests.support.fakes import SITE, RanksHere, make_context
from tests.unit.clean.test_rules import PUBLISHED

SWALLOW: dict[str, Any] = {
    "kind": "swallow", "version": 2, "languages": ["ja", "en", "code"], "minimum_characters": 100,
    "heldout_fraction": 0.2, "skip_elements": ["nav"], "rules": PUBLISHED, "refused_hosts": ["*.example.com"],
    "ng_words": [], "deduplicate": {"kind": "minhash", "ngram": 5, "bands": 40, "rows": 20, "seed": 1},
}
KEEP: dict[str, Any] = {
    "kind": "passthrough", "version": 1, "languages": ["ja", "en"], "heldout_fraction": 0.2, "skip_elements": []
}


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Japanese with duplicates across sources, English, and chosen documents of a refused host, not in their URIs' order."""
    root = tmp_path_factory.mktemp("collected")
    for name in ("ja", "second", "en", "lines", "base"):
        (root / name).mkdir()
    for seed in range(12):
        (root / "ja" / f"page{seed:02}.html").write_bytes(html(prose(JAPANESE, seed, 18)))
    (root / "ja" / "short.html").write_bytes(html(JAPANESE[0]))
    (root / "ja" / "french.html").write_bytes(html(" ".join(FRENCH)))
    (root / "ja" / "empty.html").write_bytes(b"<html><body></body></html>")
    (root / "second" / "copy.html").write_bytes(html(prose(JAPANESE, 3, 18)))
    (root / "second" / "almost.html").write_bytes(html(prose(JAPANESE, 5, 18).replace("春", "夏")))
    (root / "second" / "new.html").write_bytes(html(prose(JAPANESE, 99, 18)))
    for seed in range(6):
        (root / "en" / f"{seed}.html").write_bytes(html(prose(ENGLISH, seed, 4)))
    rows = [{"text": prose(JAPANESE, 200 + i, 18), "url": f"https://www.example.com/{9 - i}"} for i in range(3)]
    (root / "lines" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (root / "base" / "config.json").write_text("{}", encoding="utf-8")
    collect(root, ["ja", "second", "en", "lines"], root / "out")
    return root / "out"


def collect(root: Path, names: list[str], output: Path) -> None:
    def source(name: str) -> dict[str, str]:
        return {"kind": "local", "name": name, "path": str(root / name), "sha256": digest_path(root / name),
                "licence": "CC0-1.0"}

    sources = [source(name) | {"language": "en" if name == "en" else "ja"} for name in names]
    values = {"kind": "warc", "version": 1, "sources": sources, "model": source("base")}
    WarcCollector.model_validate(values).run(make_context(root), output)


def clean(collected: Path, output: Path, workers: int = 1, **changes: Any) -> CleanReport:
    site, scratch = replace(SITE, workers=workers), output.with_name(f"{output.name}.scratch")
    context = make_context(output.parent, site=site, scratch=scratch, launcher=RanksHere())
    return SwallowCleaner.model_validate(SWALLOW | changes).run(context, collected, output)


def all_documents(output: Path) -> list[Document]:
    return [document for path in sorted(output.rglob("*.jsonl.gz")) for document in read_documents(path)]


def test_every_page_is_counted_once(collected: Path, tmp_path: Path) -> None:
    report = clean(collected, tmp_path / "out")
    assert report.pages == 27
    assert report.pages == report.kept + sum(report.rejected.values())
    assert {rule: count for rule, count in report.rejected.items() if count} == {
        "no_text": 1, "languages": 1, "minimum_characters": 1, "exact_duplicate": 1, "near_duplicate": 1
    }
    assert report.kept == len(all_documents(tmp_path / "out"))


def test_counts_add_up_by_source_and_by_language(collected: Path, tmp_path: Path) -> None:
    report = clean(collected, tmp_path / "out")
    counts = json.loads((tmp_path / "out" / "counts.json").read_text(encoding="utf-8"))
    documents = all_documents(tmp_path / "out")
    assert list(counts["sources"]) == ["ja", "second", "en", "lines"]
    for name, source in counts["sources"].items():
        own = [document for document in documents if document.source == name]
        assert source["pages"] == source["kept"] + sum(source["rejected"].values())
        assert source["kept"] == len(own)
        assert sum(source["characters"].values()) == sum(len(document.text) for document in own)
    assert {name: value["characters"] for name, value in counts["languages"].items()} == report.characters
    assert Counter(d.language for d in documents) == {n: v["documents"] for n, v in counts["languages"].items()}


def test_the_first_of_two_duplicates_in_the_manifest_stays(collected: Path, tmp_path: Path) -> None:
    clean(collected, tmp_path / "out")
    uris = {document.uri for document in all_documents(tmp_path / "out")}
    assert {"local:ja/page03.html", "local:ja/page05.html", "local:second/new.html"} <= uris
    assert not {"local:second/copy.html", "local:second/almost.html"} & uris


def test_the_manifests_order_decides_which_duplicate_stays(collected: Path, tmp_path: Path) -> None:
    collect(collected.parent, ["second", "ja"], tmp_path / "turned")
    clean(tmp_path / "turned", tmp_path / "out")
    uris = {document.uri for document in all_documents(tmp_path / "out")}
    assert {"local:second/copy.html", "local:second/almost.html"} <= uris
    assert not {"local:ja/page03.html", "local:ja/page05.html"} & uris


def test_any_number_of_workers_writes_the_same_bytes(collected: Path, tmp_path: Path) -> None:
    digests = set()
    for workers in (1, 2):
        clean(collected, tmp_path / str(workers), workers)
        digests.add(digest_path(tmp_path / str(workers)))
    assert len(digests) == 1


def test_documents_are_ordered_by_source_and_uri(collected: Path, tmp_path: Path) -> None:
    clean(collected, tmp_path / "out")
    for path in (tmp_path / "out" / "train").rglob("*.jsonl.gz"):
        uris = [document.uri for document in read_documents(path)]
        assert uris == sorted(uris)


def test_held_out_documents_are_not_trained_on_and_stay_held_out(collected: Path, tmp_path: Path) -> None:
    report = clean(collected, tmp_path / "all")
    held = {d.id for d in all_documents(tmp_path / "all" / "heldout")}
    trained = {d.id for d in all_documents(tmp_path / "all" / "train")}
    assert held
    assert not held & trained
    assert sum(report.heldout.values()) == len(held)
    collect(collected.parent, ["ja"], tmp_path / "less")
    clean(tmp_path / "less", tmp_path / "one")
    assert {d.id for d in all_documents(tmp_path / "one" / "heldout")} <= held


def test_the_heldout_fraction_is_met() -> None:
    from components.clean.engine.merge import document_id, is_held_out

    held = sum(is_held_out(document_id("source", str(number)), 0.06) for number in range(20_000))
    assert held / 20_000 == pytest.approx(0.06, abs=0.007)  # four standard deviations


def test_hosts_are_refused_to_crawled_pages_and_not_to_chosen_documents(collected: Path, tmp_path: Path) -> None:
    clean(collected, tmp_path / "out")
    assert sum(document.source == "lines" for document in all_documents(tmp_path / "out")) == 3


def test_code_is_what_its_source_says(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}", encoding="utf-8")
    lines = "".join(f"def wing_{i}(span: float) -> float:\n    return span * {i}\n\n\n" for i in range(9))
    (tmp_path / "wings.py").write_text(lines, encoding="utf-8")
    source = {"kind": "local", "name": "wings", "path": str(tmp_path / "wings.py"), "language": "code",
              "sha256": digest_path(tmp_path / "wings.py"), "licence": "CC0-1.0"}
    model = {"kind": "local", "name": "base", "path": str(tmp_path / "base"), "licence": "CC0-1.0",
             "sha256": digest_path(tmp_path / "base")}
    collector = WarcCollector.model_validate({"kind": "warc", "version": 1, "sources": [source], "model": model})
    collector.run(make_context(tmp_path), tmp_path / "collected")
    report = clean(tmp_path / "collected", tmp_path / "out", heldout_fraction=0)
    assert list(report.characters) == ["code"]
    (document,) = read_documents(tmp_path / "out" / "train" / "code" / "wings.jsonl.gz")
    assert document.text.startswith("def wing_0(span: float) -> float:\n    return span * 0\n\n")


def test_keep_rejects_nothing_that_has_text(collected: Path, tmp_path: Path) -> None:
    context = make_context(tmp_path, launcher=RanksHere())
    report = PassthroughCleaner.model_validate(KEEP).run(context, collected, tmp_path / "out")
    assert report.rejected == {"no_text_response": 0, "no_text": 1, "languages": 0}
    assert report.kept == 26
    english = PassthroughCleaner.model_validate(KEEP | {"languages": ["en"]})
    context = make_context(tmp_path, launcher=RanksHere())
    assert english.run(context, collected, tmp_path / "en").rejected["languages"] == 20


def test_an_empty_corpus_names_the_rule_that_took_most(collected: Path, tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpus, match=r"nothing is left of the 27 pages.*languages rejected 26"):
        clean(collected, tmp_path / "out", languages=["de"])


def test_a_damaged_warc_file_is_named(collected: Path, tmp_path: Path) -> None:
    for path in collected.rglob("*"):
        if path.is_file():
            (tmp_path / "in" / path.relative_to(collected)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / path.relative_to(collected)).write_bytes(path.read_bytes())
    target = warc_path(tmp_path / "in", "ja")
    target.write_bytes(target.read_bytes()[:-4000])
    with pytest.raises(InputError, match=r"pages/ja\.warc\.gz.*dvc repro --force collect"):
        clean(tmp_path / "in", tmp_path / "out")
