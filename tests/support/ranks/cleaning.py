"""Collects pages that are hard to share out among ranks, and cleans them as the stage does.

`python -m tests.support.ranks.cleaning COLLECTED FOLDER RANKS WORKERS` is a stage's process, which starts ranks of its own.
"""

import base64
import io
import json
import random
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from components.base.ports import Launcher
from components.clean.contract import CleanReport
from components.clean.swallow import SwallowCleaner
from components.collect.warc import WarcCollector
from components.formats.digests import digest_path
from infra.local import LocalProcesses
from infra.processes import die_with_parent
from tests.support.builders.texts import ENGLISH, JAPANESE, html, prose
from tests.support.fakes import SITE, FakeJournal, make_context
from tests.unit.clean.test_rules import PUBLISHED

SWALLOW: dict[str, Any] = {
    "kind": "swallow", "version": 2, "languages": ["ja", "en"], "minimum_characters": 100, "heldout_fraction": 0.2,
    "skip_elements": ["nav"], "rules": PUBLISHED, "refused_hosts": [], "ng_words": [],
    "deduplicate": {"kind": "minhash", "ngram": 5, "bands": 40, "rows": 20, "seed": 1},
}
NOISE_BYTES = 20_000
PAGES = 48
HTML, BINARY = "text/html; charset=utf-8", "application/octet-stream"


def clean(
    collected: Path, folder: Path, launcher: Launcher, *, ranks: int = 1, workers: int = 1, **changes: Any
) -> tuple[CleanReport, Path, FakeJournal]:
    """The report, the output folder and the journal of one cleaning."""
    journal, site = FakeJournal(folder), replace(SITE, workers=workers, clean_processes=ranks)
    context = make_context(folder, journal=journal, site=site, launcher=launcher)
    output = folder / "output"
    report = SwallowCleaner.model_validate(SWALLOW | changes).run(context, collected, output)
    return report, output, journal


def collect(folder: Path) -> Path:
    """Collects pages in files of several units: one has a WARC file in a page, one is a single gzip member; and duplicates."""
    chance = random.Random(20240311)
    for name in ("web", "bundle", "lines", "base"):
        (folder / name).mkdir(parents=True)
    pages = [(HTML, page(chance, JAPANESE, seed)) for seed in range(PAGES)]
    inner = warc([(BINARY, chance.randbytes(6_000)) for _ in range(120)], packed=True)
    pages.insert(PAGES // 3, (BINARY, inner))
    (folder / "web" / "crawl.warc.gz").write_bytes(warc(pages, packed=True))
    bundled = [(HTML, page(chance, JAPANESE, seed)) for seed in (*range(3), *range(200, 224))]
    (folder / "bundle" / "crawl.warc").write_bytes(warc(bundled, packed=False))
    texts = [*(prose(ENGLISH, seed, 4) for seed in range(12)), *(prose(JAPANESE, seed, 18) for seed in range(6))]
    rows = [{"text": text, "url": f"https://example.org/{99 - number}"} for number, text in enumerate(texts)]
    (folder / "lines" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "base" / "config.json").write_text("{}", encoding="utf-8")

    def source(name: str) -> dict[str, str]:
        digest = digest_path(folder / name)
        return {"kind": "local", "name": name, "path": str(folder / name), "sha256": digest, "licence": "CC0-1.0"}

    sources = [source(name) | {"language": "ja"} for name in ("web", "bundle", "lines")]
    values = {"kind": "warc", "version": 1, "sources": sources, "model": source("base")}
    WarcCollector.model_validate(values).run(make_context(folder), folder / "out")
    return folder / "out"


def page(chance: random.Random, sentences: tuple[str, ...], seed: int) -> bytes:
    """A page of prose, with noise that does not compress."""
    noise = base64.b64encode(chance.randbytes(NOISE_BYTES)).decode()
    return html(prose(sentences, seed, 18)).replace(b"</head>", f"<script>{noise}</script></head>".encode())


def warc(pages: list[tuple[str, bytes]], *, packed: bool) -> bytes:
    """A WARC file; every fifth page is followed by a record that is not a page."""
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=packed)
    for number, (media_type, body) in enumerate(pages):
        kinds = ("response", "metadata") if number % 5 == 0 else ("response",)
        for kind in kinds:
            uri = f"https://example.com/{number:03}"
            identity = f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, kind + uri)}>"
            http = StatusAndHeaders("200 OK", [("Content-Type", media_type)], protocol="HTTP/1.1")
            writer.write_record(writer.create_warc_record(
                uri, kind, payload=io.BytesIO(body), length=len(body), http_headers=http if kind == "response" else None,
                warc_headers_dict={"WARC-Record-ID": identity, "WARC-Date": "2000-01-01T00:00:00Z"},
            ))  # fmt: skip
    return stream.getvalue()


if __name__ == "__main__":
    die_with_parent()
    clean(
        Path(sys.argv[1]), Path(sys.argv[2]), LocalProcesses(Path(sys.argv[2]) / "logs", threads=1),
        ranks=int(sys.argv[3]), workers=int(sys.argv[4]),
    )  # fmt: skip
