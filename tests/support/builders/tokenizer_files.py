"""Changes the `tokenizer.json` of a model folder: the faults that a tokenizer fingerprint must see."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def edit_fast_tokenizer(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes `tokenizer.json` as a JSON object."""
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def delay_merge(folder: Path, left: str, right: str) -> None:
    """Puts one merge behind all others."""
    def delay(values: dict[str, Any]) -> None:
        merges = values["model"]["merges"]
        merges.append(merges.pop(merges.index([left, right])))

    edit_fast_tokenizer(folder, delay)


def lose_bos(folder: Path) -> None:
    """Makes the tokenizer put nothing in front of a text any more."""
    edit_fast_tokenizer(folder, lambda values: values.update(post_processor=None))
