"""Clean text is read whole, or one message says where it ends."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from components.data.documents import Document, read_documents, write_documents
from components.errors import InputError

DOCUMENTS = [
    Document(id=f"{n:016x}", source="essays", language="ja", uri=f"e:{n}", text=f"舟を{n}艘数えた。" * 500) for n in range(9)
]


@pytest.mark.parametrize(("damage", "words"), [
    (lambda _: b"<html>", r"cannot be read after line 0 \(Not a gzipped file"),
    (lambda whole: whole[:-20], r"cannot be read after line [1-9] \("),
    (lambda whole: whole[:40] + b"\x00" * 40 + whole[80:], "cannot be read after line 0|not a document"),
    (lambda _: gzip.compress(b'{"text": "\xff"}\n'), "line 1: not a document"),
], ids=["another file", "cut off", "damaged", "no UTF-8"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes], words: str) -> None:
    path = tmp_path / "ja.jsonl.gz"
    write_documents(path, DOCUMENTS)
    assert list(read_documents(path)) == DOCUMENTS
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=words):
        list(read_documents(path))
