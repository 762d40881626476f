"""Enlarges a byte-level BPE vocabulary by candidates.

BPE joins the neighbours whose merge has the lowest rank, the leftmost first. New merges rank after all of the base's, and
each of their results holds bytes that only a Japanese character has: they never touch a text without one.
"""

from collections.abc import Iterable, Sequence, Set
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.expand.vocabulary.candidates import Candidates
from components.formats.files import write_json
from components.models.folder import copy_tokenizer
from components.tokenizers.byte_level import (
    ALPHABET,
    Specification,
    backend_of,
    bytes_of,
    read_specification,
    spell,
    text_of_bytes,
)
from components.tokenizers.configuration import check_specials, read_given
from components.tokenizers.japanese_scripts import JAPANESE
from components.tokenizers.load import tokenizer_file

IDEOGRAPHIC_SPACE = "\u3000"
"""It is in the block of Japanese punctuation, though no piece says it: e3 80 leads it, as it leads 、 and 。"""
FOUR_BYTES = 0xF0
"""From this byte on, a character takes four bytes of UTF-8."""
Merge = tuple[str, str]


class Merging:
    """Pieces that are known, spelt in letters for bytes, and the ranked merges that lead to them; both may grow."""

    def __init__(self, pieces: Iterable[str], merges: Sequence[Merge]) -> None:
        self.pieces = set(pieces)
        self.merges = list(merges)
        self.ranks = {merge: rank for rank, merge in enumerate(merges)}

    def split(self, piece: str) -> list[str]:
        """The pieces that its letters are joined to."""
        symbols = list(piece)
        while True:
            joins = [
                (rank, place)
                for place, pair in enumerate(pairwise(symbols))
                if (rank := self.ranks.get(pair)) is not None
            ]
            if not joins:
                return symbols
            _, place = min(joins)
            symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]

    def add(self, piece: str) -> None:
        """Appends every way in which two known pieces join to this one, the longest left side first."""
        for cut in range(len(piece) - 1, 0, -1):
            left, right = piece[:cut], piece[cut:]
            if left in self.pieces and right in self.pieces:
                self.ranks[left, right] = len(self.merges)
                self.merges.append((left, right))
        self.pieces.add(piece)


class ByteLevelVocabulary:
    """The vocabulary of a model folder's `tokenizer.json`. Pieces are spelt as there, in letters that stand for bytes.

    New ids follow the last one of the base, which in Llama 3 and Qwen is a special token's.
    """

    def __init__(self, specification: Specification, path: Path) -> None:
        """`path` is named in errors. Raises `InputError` if a special token does not let pieces be appended."""
        self.specification = specification
        self.path = path
        self.special = {token["content"]: token["id"] for token in specification["added_tokens"]}
        self.ids: dict[str, int] = specification["model"]["vocab"] | self.special
        self.pieces = max(self.ids.values()) + 1
        self._backend = backend_of(specification, path)
        self._merges = [_pair(merge) for merge in specification["model"]["merges"]]
        self._check_special()

    @classmethod
    def of(cls, model: Path) -> "ByteLevelVocabulary":
        """Raises `InputError` if the folder's tokenizer is not a byte-level BPE of a family we know, or names other tokens."""
        path = tokenizer_file(model)
        if path.name != "tokenizer.json":
            raise InputError(f"{path}: a model with a SentencePiece tokenizer is enlarged by `kind: sentencepiece`.")
        vocabulary = cls(read_specification(model), path)
        check_specials(model, read_given(model), vocabulary.ids, path.name)
        return vocabulary

    def characters(self) -> Set[str]:
        """The characters that are pieces of their own; others cost two to four."""
        return {text for piece in self.ids if (text := self.text_of(piece)) is not None and len(text) == 1}

    def choose(self, candidates: Candidates, room: int) -> list[str]:
        """First characters, each after the leading bytes that it takes, then merges by rank, until `room` is full.

        A character is left out if it and its leading bytes exceed what is left of the room, or if those bytes also lead
        characters that are not Japanese. A merge is left out if the base's merges, or the expression that cuts text into
        words, would always forestall it. The choice is then tried on the tokenizer itself.
        """
        refused: set[str] = set()
        while True:
            added = self._fill(candidates, room, refused)
            unreachable = self._unreachable(added)
            if not unreachable:
                return added
            refused |= unreachable

    def subpieces(self, added: Sequence[str]) -> list[list[int]]:
        """As the protocol says; for leading bytes, what those bytes split into."""
        base = self._base_merging()
        return [[self.ids[part] for part in base.split(piece)] for piece in added]

    def text_of(self, piece: str) -> str | None:
        """None for leading bytes and for special tokens."""
        return None if piece in self.special else text_of_bytes(piece)

    def write(self, model: Path, output: Path, added: Sequence[str]) -> None:
        """`tokenizer.json` with pieces and merges appended, and copies of the rest.

        `vocab.json` and `merges.txt` are not copied: they would repeat the vocabulary, and cannot state the rest.
        """
        copy_tokenizer(model, output)
        write_json(output / "tokenizer.json", self.enlarged(added))
        # this class takes tokenizer.json as it is; others rebuild it: GPT2Tokenizer loses SmolLM2's splitting of digits
        write_json(output / "tokenizer_config.json", read_given(model) | {"tokenizer_class": "PreTrainedTokenizerFast"})

    def facts(self, added: Sequence[str]) -> dict[str, Any]:
        """The normaliser, how many merges there are, and which of the new pieces are leading bytes only."""
        return {
            "normalizer": self.specification["normalizer"],
            "merges": {"base": len(self._merges), "added": len(self._grown(added).merges) - len(self._merges)},
            "leading_bytes": [data.hex() for piece in added if self.text_of(piece) is None and (data := bytes_of(piece))],
            "bytes_without_a_piece": [f"{byte:02x}" for byte, letter in ALPHABET.items() if letter not in self.ids],
        }

    def enlarged(self, added: Sequence[str]) -> Specification:
        """The base's specification with the pieces, and every merge that leads to one, appended."""
        model = self.specification["model"]
        # unless special tokens stand in the vocabulary, the library renumbers them as soon as it grows
        special = {name: number for name, number in self.special.items() if name not in model["vocab"]}
        vocabulary = model["vocab"] | special | {piece: self.pieces + number for number, piece in enumerate(added)}
        merges: list[Any] = self._grown(added).merges[len(self._merges) :]
        merges = [" ".join(merge) if self._spaced else list(merge) for merge in merges]
        return self.specification | {"model": model | {"vocab": vocabulary, "merges": model["merges"] + merges}}

    @cached_property
    def _spaced(self) -> bool:
        """Whether the base writes merges as "a b"; newer files write ["a", "b"]."""
        return isinstance(next(iter(self.specification["model"]["merges"]), None), str)

    def _base_merging(self) -> Merging:
        return Merging(self.ids.keys() - self.special.keys(), self._merges)

    def _grown(self, added: Sequence[str]) -> Merging:
        """The base's merges and those of the pieces, in the order of their ids."""
        merging = self._base_merging()
        for piece in added:
            merging.add(piece)
        return merging

    def _fill(self, candidates: Candidates, room: int, refused: Set[str]) -> list[str]:
        """At most `room` pieces, none of them among the `refused`."""
        merging, added = self._base_merging(), list[str]()
        characters = set(self.characters())
        for text in (*candidates.characters, *candidates.merges):
            piece = spell(text.encode())
            if len(added) == room:
                break
            if piece in merging.pieces or piece in refused or not self._is_one_word(text, piece):
                continue
            steps = _steps(merging.split(piece))
            if len(text) > 1 and (len(steps) > 1 or not characters >= set(text)):
                continue
            if len(added) + len(steps) <= room and all(map(_is_japanese, steps)) and not merging.pieces & set(steps):
                for step in steps:
                    merging.add(step)
                added += steps
                characters |= {text} if len(text) == 1 else set()
        return added

    def _is_one_word(self, text: str, piece: str) -> bool:
        """Whether the base's rules leave the text as it is and do not cut it."""
        normalizer = self._backend.normalizer
        if normalizer is not None and normalizer.normalize_str(text) != text:
            return False
        words: list[tuple[str, Any]] = self._backend.pre_tokenizer.pre_tokenize_str(text)
        return [word for word, _ in words] == [piece]

    def _unreachable(self, added: Sequence[str]) -> set[str]:
        """The pieces that the finished tokenizer does not make of their own text by its merges."""
        enlarged = self.enlarged(added)
        # ignore_merges takes a word that is a piece whole, which would say nothing of the piece inside a longer word
        backend = backend_of(enlarged | {"model": enlarged["model"] | {"ignore_merges": False}}, self.path)
        texts = {number: text for number, piece in enumerate(added) if (text := self.text_of(piece)) is not None}
        encodings = backend.encode_batch_fast(list(texts.values()), add_special_tokens=False)
        found = zip(texts, encodings, strict=True)
        return {added[number] for number, encoding in found if encoding.ids != [self.pieces + number]}

    def _check_special(self) -> None:
        """Raises `InputError` if a special token's text would become the token once it stands in the vocabulary."""
        model = self.specification["model"]
        for name in sorted(self.special.keys() - model["vocab"].keys()):
            if model.get("ignore_merges") and self._is_one_word(name, name):
                raise InputError(
                    f"{self.path}: the special token {name!r} is a word that text may hold, and with ignore_merges no piece "
                    "can be appended without text becoming that token. Rename it, for instance with <| and |> around it."
                )


def _pair(merge: Any) -> Merge:
    """A merge of either notation."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _steps(parts: Sequence[str]) -> list[str]:
    """The pieces that joining the parts from the left makes; the last one is the whole."""
    return ["".join(parts[:count]) for count in range(2, len(parts) + 1)]


def _is_japanese(piece: str) -> bool:
    """Whether no text without a Japanese character, or an ideographic space, holds the piece's bytes."""
    data = bytes_of(piece)
    assert data, "new pieces are made of bytes"
    try:
        return JAPANESE.search(data.decode("utf-8")) is not None
    except UnicodeDecodeError:
        pass
    # leading bytes: each character that they lead must be Japanese, as with e3 81, but not with e2 80 (dashes, quotes)
    missing = (4 if data[0] >= FOUR_BYTES else 3) - len(data)
    first, last = (ord((data + fill * missing).decode("utf-8")) for fill in (b"\x80", b"\xbf"))
    return all(JAPANESE.match(chr(code)) or chr(code) == IDEOGRAPHIC_SPACE for code in range(first, last + 1))
