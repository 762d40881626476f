"""JSON that comes from elsewhere ends in a value, or in one error that says what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from components.collect.records import documents_of
from components.errors import InputError
from components.formats.json_text import parse_json
from components.models.folder import read_config
from components.tokenizers.byte_level import read_specification
from components.tokenizers.configuration import read_given

DEEP = 100_000
BROKEN = {
    "lists in lists": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "lists that do not end": b"[" * DEEP,
    "an integer of 10,000 digits": b'{"a": ' + b"9" * 10_000 + b"}",
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "nothing": b"",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_a_value_error(kind: str) -> None:
    with pytest.raises(ValueError, match=r"nested|digits|utf-8|Expecting"):
        parse_json(BROKEN[kind])


def test_a_byte_order_mark_is_no_part_of_the_value() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert parse_json('{"a": 1}'.encode("utf-16")) == {"a": 1}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize(("name", "read"), [
    ("tokenizer_config.json", read_given), ("tokenizer.json", read_specification), ("config.json", read_config),
])
def test_a_model_folders_file_that_is_broken_is_named(
    tmp_path: Path, kind: str, name: str, read: Callable[[Path], object]
) -> None:
    (tmp_path / name).write_bytes(BROKEN[kind])
    with pytest.raises(InputError, match=name):
        read(tmp_path)


@pytest.mark.parametrize("value", [BROKEN["lists in lists"], BROKEN["not UTF-8"], b'{"text": "\\ud83d cut"}', b'{"text": null}',
                                   b'{"text": "x", "n": ' + b"9" * 10_000 + b"}", b"[1]", b"1e400"])  # fmt: skip
def test_a_line_that_is_broken_is_named_by_its_number(tmp_path: Path, value: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + value + b"\n")
    with pytest.raises(InputError, match=r"a\.jsonl, line 2: expected a JSON object with a `text`"):
        list(documents_of(path, "local:a"))


def test_numbers_that_are_none_of_our_business_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf' + json.dumps({"text": "good", "score": float("nan"), "big": 1e300}).encode() + b"\n")
    assert [page.body for page in documents_of(path, "local:a")] == [b"good"]
