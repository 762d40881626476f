"""Takes the fingerprint of what a tokenizer does, and compares two fingerprints: which string they split differently.

The same file can give other ids under another library, and another file can give the same ids: only ids count. The
fingerprint is kept with what was made from the ids: in the index of token shards and in the folder of a trained model.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal
from zlib import crc32

from pydantic import ValidationError

from components.base.fields import Fields
from components.errors import InputError, TokenizerMismatch
from components.formats.digests import digest_value
from components.formats.files import write_json
from components.tokenizers.golden_strings import GOLDEN
from components.tokenizers.tokenizer import Tokenizer, with_special_tokens

FILE = "tokenizer_fingerprint.json"
SHOWN = 8
"""How many ids a message shows of each side."""


class TokenizerFingerprint(Fields):
    """What a tokenizer does: two tokenizers with equal fingerprints can replace each other."""

    version: Literal[1]
    pieces: int
    bos: int | None
    eos: int | None
    document: list[int]
    """The ids of the first golden string as a document: with BOS and EOS around them, if the tokenizer has them."""
    reachable: int
    """How many pieces have a text that, at the start of a line, is split into that one piece."""
    vocabulary: str
    """SHA-256 over number and text of each of these pieces, and over the ids of every two neighbours' text: it shows
    differences of vocabulary and merges that no golden string shows."""
    golden: dict[str, list[int]]
    """The ids of each golden string, without BOS and EOS."""
    walk: str | None = None
    """In Base64 one byte for each piece, by which `vocabulary`'s first string that differs is found: 0 if the piece's text is
    not split into it, else a checksum of its text and ids with the next one's. None in fingerprints older than this field."""


def fingerprint_tokenizer(tokenizer: Tokenizer) -> TokenizerFingerprint:
    """The fingerprint of a tokenizer. It takes about 7 µs for each piece with SentencePiece, three times that with others."""
    ids = tokenizer.encode_batch(GOLDEN)
    walk = Walk.of(tokenizer)
    return TokenizerFingerprint(
        version=1, pieces=tokenizer.pieces, bos=tokenizer.bos, eos=tokenizer.eos,
        document=with_special_tokens(ids[0], tokenizer.bos, tokenizer.eos), reachable=len(walk.texts), vocabulary=walk.digest(),
        golden=dict(zip(GOLDEN, ids, strict=True)), walk=base64.b64encode(walk.checksums).decode(),
    )


@dataclass(frozen=True)
class Walk:
    """The texts of a tokenizer's pieces, and what they and every two neighbours are split into.

    Each text is encoded after a line break, so that pieces which begin inside words count as well. Pieces that are not text
    (special ones, halves of characters) do not count: libraries differ in how they show them. Where two texts meet, merges
    compete that do not compete within one piece: there, a merge in the wrong order shows.
    """

    split: list[tuple[str, list[int]]]
    """For each piece, its text after a line break, and the ids of that."""
    texts: dict[int, str]
    """The texts of the pieces that their own text is split into, by id."""
    pairs: list[tuple[str, list[int]]]
    """For each of these pieces, its text and the next one's joined, and the ids of that."""

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Walk":
        """Asks the tokenizer."""
        before = tokenizer.encode("\n")
        shown = tokenizer.decode_batch([[*before, piece] for piece in range(tokenizer.pieces)])
        split = list(zip(shown, tokenizer.encode_batch(shown), strict=True))
        texts = {piece: text.removeprefix("\n") for piece, (text, ids) in enumerate(split) if ids == [*before, piece]}
        pairs = [one + other for one, other in pairwise(texts.values())]
        return cls(split, texts, list(zip(pairs, tokenizer.encode_batch(pairs), strict=True)))

    def digest(self) -> str:
        """SHA-256 over `texts` and the ids of `pairs`."""
        return digest_value([list(self.texts), list(self.texts.values()), [ids for _, ids in self.pairs]])

    @cached_property
    def checksums(self) -> bytes:
        """`TokenizerFingerprint.walk` before Base64."""
        sums = bytearray(len(self.split))
        for piece, pair in zip(self.texts, [*self.pairs, None], strict=False):
            sums[piece] = 1 + crc32(repr(pair).encode("utf-8", "surrogatepass")) % 255
        return bytes(sums)

    def first_difference(self, expected: bytes) -> str:
        """The first text that is split otherwise than the `expected` checksums say; "" if there is none."""
        both = list(enumerate(zip(expected, self.checksums, strict=False)))
        for piece, (theirs, ours) in both:
            if bool(theirs) != bool(ours):
                text, ids = self.split[piece]
                return f"{text!r} gives {show(ids, 0)}, expected {'other ids' if ours else f'piece {piece:,} at the end'}"
        places = {piece: place for place, piece in enumerate(self.texts)}
        for piece, (theirs, ours) in both:
            if theirs != ours and places[piece] < len(self.pairs):
                text, ids = self.pairs[places[piece]]
                return f"{text!r} gives {show(ids, 0)}, expected other ids"
        return ""


def compare(
    expected: TokenizerFingerprint, found: TokenizerFingerprint, *, made: str, where: str, remedy: str,
    tokenizer: Tokenizer | None = None,
) -> None:
    """Raises `TokenizerMismatch` unless the two fingerprints are equal.

    `where` names the tokenizer that was found, `made` what was made with the expected one, `remedy` the next step. The
    message shows the first golden string that is split differently, how many are, and every other difference. If no golden
    string is split differently, `tokenizer`, the one that was found, is asked for a string of its vocabulary that is.
    """
    if differences := [*_different_ids(expected, found), *_different_facts(expected, found)]:
        if tokenizer is not None and expected.golden == found.golden and expected.walk is not None:
            witness = Walk.of(tokenizer).first_difference(base64.b64decode(expected.walk))
            differences = [*([witness] if witness else []), *differences]
        raise TokenizerMismatch(f"{where} is not the tokenizer of {made}: {'; '.join(differences)}. {remedy}")


def _different_ids(expected: TokenizerFingerprint, found: TokenizerFingerprint) -> list[str]:
    """The first golden string with other ids, and how many strings have other ids."""
    differing = [text for text in expected.golden if expected.golden[text] != found.golden.get(text)]
    if not differing:
        return []
    text = differing[0]
    wanted, given = expected.golden[text], found.golden.get(text, [])
    both = zip(wanted, given, strict=False)
    start = next((place for place, (one, other) in enumerate(both) if one != other), min(len(wanted), len(given)))
    return [
        f"{text!r} gives {show(given, start)}, expected {show(wanted, start)} "
        f"({len(differing)} of {len(expected.golden)} strings differ)"
    ]


def show(ids: Sequence[int], start: int) -> str:
    """Some ids from `start` on, and how many there are in all."""
    shown = ", ".join(str(piece) for piece in ids[start : start + SHOWN])
    before, behind = "… " if start else "", " …" if len(ids) > start + SHOWN else ""
    return f"{len(ids)} ids [{before}{shown}{behind}]"


def _different_facts(expected: TokenizerFingerprint, found: TokenizerFingerprint) -> list[str]:
    """All differences besides the ids of golden strings."""
    lines = [
        f"{name} is {_number(given)}, expected {_number(wanted)}"
        for name, wanted, given in (
            ("the number of pieces", expected.pieces, found.pieces), ("BOS", expected.bos, found.bos),
            ("EOS", expected.eos, found.eos),
        )
        if wanted != given
    ]
    if (expected.reachable, expected.vocabulary) != (found.reachable, found.vocabulary):
        lines.append(
            f"the texts of its pieces are split otherwise ({found.reachable:,} of them into that one piece, expected "
            f"{expected.reachable:,}; digest {found.vocabulary[:12]}…, expected {expected.vocabulary[:12]}…)"
        )
    return lines


def _number(value: int | None) -> str:
    return "none" if value is None else f"{value:,}"


def write_tokenizer_fingerprint(folder: Path, fingerprint: TokenizerFingerprint) -> None:
    """Writes the fingerprint into a model folder."""
    write_json(folder / FILE, fingerprint.model_dump(mode="json"))


def read_tokenizer_fingerprint(folder: Path) -> TokenizerFingerprint | None:
    """The fingerprint in a model folder; None if there is none. Raises `InputError` if the file is not a fingerprint."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return TokenizerFingerprint.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} is not a tokenizer fingerprint of version 1: {error}. Run the train stage again.") from None
