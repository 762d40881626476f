"""Ten everyday tasks of a stranger: the page on the architecture names one place for each, and is right."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
TABLE = PAGE.split("## To change something")[1].split("\n## ")[0]
ROWS = re.findall(r"^\| (.+?) \| `([^`]+)` \| (.+?) \|$", TABLE, flags=re.MULTILINE)
WORD = re.compile(r"`([^`]+)`")


def test_there_are_ten_tasks() -> None:
    assert len(ROWS) == 10


@pytest.mark.parametrize(("task", "place", "words"), ROWS, ids=[row[0] for row in ROWS])
def test_the_place_is_there_and_so_is_all_that_is_said_of_it(task: str, place: str, words: str) -> None:
    where = ROOT / place
    assert where.exists(), f"to change {task}"
    folder = where if where.is_dir() else where.parent
    text = "" if where.is_dir() else where.read_text(encoding="utf-8")
    for word in WORD.findall(words):
        named = [path for path in (folder / word, ROOT / word) if path.exists()]
        if named and named[0].is_file():
            text += named[0].read_text(encoding="utf-8")
        assert named or re.search(rf"\b{re.escape(word)}\b", text), f"{word} of {place}"


def test_what_is_listed_is_listed_there() -> None:
    for file, name, one in (
        ("components/params.py", "Clean", "PassthroughCleaner"), ("components/collect/warc.py", "Source", "S3Source"),
        ("components/train/parameters.py", "Schedule", "WarmupStableDecaySchedule"),
        ("infra/site_scheduler.py", "case", "SlurmSite"),
    ):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"\b{name}\b[^\n]*(\n    )?[^\n]*\b{one}\b", text), f"{one} in {file}"
