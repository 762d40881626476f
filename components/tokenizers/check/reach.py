"""Finds the pieces of a tokenizer that no text leads to."""

from collections.abc import Sequence

from components.tokenizers.check.facts import Reach
from components.tokenizers.check.readers.reader import Reader

EXAMPLES = 20
NEIGHBOURS = (("a", ""), ("", "a"), (" ", ""), ("", " "), ("\n", ""), ("", "\n"), ("1", ""), ("", "."), ("の", "の"))
"""Some pieces only occur next to something, such as a run of line ends before a word: they are tried between these."""


def reach_of(reader: Reader, ids: Sequence[int]) -> Reach | None:
    """Encodes each piece's own text inside a sentence, and failures again between neighbours; None if texts are unknown."""
    known = [number for number in ids if reader.inventory[number].kind == "text" and reader.inventory[number].text]
    if ids and not known:
        return None
    texts = [reader.inventory[number].text or "" for number in known]
    rows = reader.encode_inside(texts)
    alone = [number for number, row in zip(known, rows, strict=True) if list(row) != [number]]
    unreachable = without_neighbours(reader, alone)
    names = [f"{number} {reader.inventory[number].text!r}" for number in unreachable[:EXAMPLES]]
    return Reach(tested=len(known), skipped=len(ids) - len(known), unreachable=len(unreachable), examples=names)


def without_neighbours(reader: Reader, ids: Sequence[int]) -> list[int]:
    """The ids that do not appear between any of the neighbours."""
    rows = reader.encode_inside([f"{left}{reader.inventory[n].text}{right}" for n in ids for left, right in NEIGHBOURS])
    width = len(NEIGHBOURS)
    return [n for place, n in enumerate(ids) if not any(n in row for row in rows[place * width:(place + 1) * width])]
