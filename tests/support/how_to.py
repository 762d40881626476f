"""Reads the code blocks of the how-to pages as files: the files that the pages tell a newcomer to write."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- (\S+\.py) -->\n```python\n(.*?)```", re.DOTALL)


def files_of(page: str) -> dict[str, str]:
    """Path and text of each file on a page of docs/how-to/."""
    return dict(BLOCK.findall((ROOT / "docs/how-to" / page).read_text(encoding="utf-8")))
