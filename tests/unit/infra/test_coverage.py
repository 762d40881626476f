"""How much of a run was sent is read from a tag, and compared with what lies on disk."""

from pathlib import Path

import pytest

from infra.tracking.coverage import TAIL_BYTES, Coverage, on_disk, read_coverage, whole_bytes


def test_a_reach_survives_its_tag() -> None:
    coverage = Coverage({"train": (7, "abc")}, {"pack": "a"}, {"pack": "a"}, "FINISHED")
    assert read_coverage(coverage.text()) == coverage


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"curves": {"train": 3}}', '{"curves": {"train": ["x", "y"]}}'])
def test_a_tag_that_cannot_be_read_says_that_nothing_was_sent(text: str) -> None:
    assert read_coverage(text) == Coverage()


@pytest.mark.parametrize(("text", "whole"), [("", 0), ("ab", 0), ("ab\n", 3), ("ab\ncd", 3), ("\n" + "x" * 3 * TAIL_BYTES, 1)])
def test_a_line_counts_when_it_has_an_end(text: str, whole: int, tmp_path: Path) -> None:
    path = tmp_path / "curve"
    path.write_text(text)
    assert whole_bytes(path) == whole


def test_sending_goes_on_in_the_same_file_only(tmp_path: Path) -> None:
    path = tmp_path / "train.metrics.jsonl"
    path.write_text("one\ntwo\n")
    coverage = Coverage().with_curve("train", path, 8)
    path.write_text("one\ntwo\nthree\n")
    assert coverage.start("train", path) == 8
    for other in ("one\n", "one\ntw0\nthree\n", ""):
        path.write_text(other)
        assert coverage.start("train", path) == 0


def test_what_lies_on_disk_is_covered_once_all_of_it_was_sent(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    curve = tmp_path / "journal" / "train.metrics.jsonl"
    curve.write_text("one\ntwo\nthr")
    sent = on_disk(tmp_path)
    assert sent.curves["train"][0] == 8
    assert sent.covers(on_disk(tmp_path))
    curve.write_text("one\ntwo\nthree\n")
    assert not sent.covers(on_disk(tmp_path))
