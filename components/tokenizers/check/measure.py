"""Measures what readers make of texts: round trips, agreements between readers, and the facts of a domain."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias

import numpy as np

from components.tokenizers.check.facts import Agreement, Characters, Domain, Example, RoundTrip, Side
from components.tokenizers.check.readers.reader import Reader
from components.tokenizers.check.texts import whole
from components.tokenizers.japanese_scripts import BLOCKS, count_characters
from components.tokenizers.sentencepiece import SPACE

Outcome: TypeAlias = Literal["exact", "normalised", "lossy_character", "white_space", "unknown", "lost"]

Counts: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

CHANGED: tuple[Outcome, ...] = ("white_space", "unknown", "lost")
CHUNK_CHARACTERS = 500_000
SHOWN_CHARACTERS = 120
JAPANESE_SHARE = 0.05
"""A domain is Japanese if at least this share of its characters are kana: no other language has any."""
KANA = re.compile("[\u3041-\u30ff]")
NOT_LATIN = re.compile("[\u2e80-\U0010ffff]|(?![\x00-\u024f])[^\\W\\d_]")
"""A letter that is not Latin, or any character from the East Asian ones on."""
WHITE = re.compile(r"\s+")


@dataclass(frozen=True)
class Pair:
    """The tokenizer after, the one before it if there is one, and further readings of the one after."""

    after: Reader
    before: Reader | None
    others: dict[str, Reader]


class Trips:
    """Counts what texts become when they are encoded and decoded."""

    def __init__(self, reader: Reader, base: Reader | None) -> None:
        self.reader, self.base = reader, base
        self.counts: dict[Outcome, int] = dict.fromkeys(
            ("exact", "normalised", "lossy_character", "white_space", "unknown", "lost"), 0
        )
        self.inherited = self.of_its_kind = self.failures = 0
        self.first: Example | None = None

    def add(self, texts: Sequence[str], rows: Sequence[Sequence[int]]) -> list[str]:
        """Judges the texts by their encodings; returns what they decode to."""
        backs = self.reader.decode(rows)
        self.counts["exact"] += sum(map(str.__eq__, texts, backs))
        for text, row, back in zip(texts, rows, backs, strict=True):
            if text != back:
                self._differs(text, row, back)
        return backs

    def _differs(self, text: str, row: Sequence[int], back: str) -> None:
        outcome = outcome_of(self.reader, text, row, back)
        self.counts[outcome] += 1
        if outcome not in CHANGED:
            return
        example = Example(text=shown(text), result=shown(back))
        self.first = self.first or example
        if self.base is not None and outcome_in(self.base, text) in CHANGED:
            self.inherited += 1
        elif of_its_kind(self.reader, outcome):
            self.of_its_kind += 1
        else:
            self.first = example if not self.failures else self.first
            self.failures += 1

    def facts(self) -> RoundTrip:
        """The counts."""
        return RoundTrip(
            texts=sum(self.counts.values()), **self.counts, inherited=None if self.base is None else self.inherited,
            of_its_kind=self.of_its_kind, failures=self.failures, first=self.first,
        )


def of_its_kind(reader: Reader, outcome: Outcome) -> bool:
    """Whether no tokenizer of this kind could do better."""
    return reader.drops_white_space if outcome == "white_space" else outcome == "unknown" and not reader.complete


def outcome_in(reader: Reader, text: str) -> Outcome:
    """What one text becomes when it is encoded and decoded."""
    row = reader.encode([text])[0]
    back = reader.decode([row])[0]
    return "exact" if back == text else outcome_of(reader, text, row, back)


def outcome_of(reader: Reader, text: str, row: Sequence[int], back: str) -> Outcome:
    """In what respect `back` differs from the text."""
    if reader.escapes_space and SPACE in text and back == text.replace(SPACE, " "):
        return "lossy_character"
    if reader.unknown in row or (reader.missing_bytes and back == without_missing(reader, text)):
        return "unknown"
    normal, back_normal = reader.normalise([text, back])
    spaced = (f" {normal}", f"{normal} ") if reader.prefixes_space else ()
    if back in spaced or (normal != text and back in (normal, normal.strip(" "))):
        return "normalised"
    if WHITE.sub("", normal.replace(SPACE, "")) == WHITE.sub("", back_normal.replace(SPACE, "")):
        return "white_space"
    return "lost"


def without_missing(reader: Reader, text: str) -> str:
    """The text without the bytes that have no piece; characters that are then incomplete become U+FFFD."""
    return bytes(byte for byte in text.encode() if byte not in reader.missing_bytes).decode("utf-8", "replace")


class Agreements:
    """Compares a second reading of the same folder, text by text."""

    def __init__(self, name: str, other: Reader) -> None:
        self.name, self.other = name, other
        self.texts = self.different = 0
        self.first: Example | None = None

    def add(self, texts: Sequence[str], rows: Sequence[Sequence[int]], backs: Sequence[str]) -> None:
        """Counts the texts whose ids, or the text that they decode to, are not equal."""
        theirs = self.other.encode(texts)
        their_backs = self.other.decode(theirs)
        self.texts += len(texts)
        for text, row, their, back, their_back in zip(texts, rows, theirs, backs, their_backs, strict=True):
            if list(row) != list(their) or back != their_back:
                self.different += 1
                self.first = self.first or Example(text=shown(text), result=difference(row, their, back, their_back))

    def facts(self) -> Agreement:
        """The counts."""
        return Agreement(of=self.name, texts=self.texts, different=self.different, first=self.first)


def difference(row: Sequence[int], their: Sequence[int], back: str, their_back: str) -> str:
    """Where two encodings differ; if they are equal, how their decodings differ."""
    if list(row) == list(their):
        return shown(f"same ids, decoded to {back!r} and {their_back!r}")
    place = next((n for n, (a, b) in enumerate(zip(row, their, strict=False)) if a != b), min(len(row), len(their)))
    return f"from token {place} on: {list(row[place:place + 4])} and {list(their[place:place + 4])}"


def compare(
    texts: Sequence[str], pair: Pair, progress: Callable[[int], None]
) -> tuple[RoundTrip, list[Agreement], list[list[int]]]:
    """Measures round trip and agreements of the texts; returns them with the encodings."""
    trips = Trips(pair.after, pair.before)
    agreements = [Agreements(name, other) for name, other in pair.others.items()]
    encodings: list[list[int]] = []
    for chunk in chunks(texts):
        rows = pair.after.encode(chunk)
        backs = trips.add(chunk, rows)
        for agreement in agreements:
            agreement.add(chunk, rows, backs)
        encodings += rows
        progress(sum(map(len, chunk)))
    return trips.facts(), [agreement.facts() for agreement in agreements], encodings


def measure_domain(name: str, texts: Sequence[str], pair: Pair, uses: Counts, progress: Callable[[int], None]) -> Domain:
    """All facts of one domain; adds how often it uses each piece to `uses`, a count for each id."""
    documents = whole(texts)
    lines = lines_of(documents)
    latin = [NOT_LATIN.search(line) is None for line in lines]
    characters, size = sum(map(len, documents)), sum(len(document.encode()) for document in documents)
    before = side(documents, pair.before, None, progress) if pair.before else None
    after = side(documents, pair.after, uses, progress)
    trip, agreements, rows = compare(lines, pair, progress)
    same = same_lines(lines, rows, pair.before) if pair.before else None
    return Domain(
        name=name, japanese=sum(len(KANA.findall(document)) for document in documents) >= JAPANESE_SHARE * max(characters, 1),
        documents=len(documents), characters=characters, bytes=size, lines=len(lines), before=before, after=after,
        ratio=round(after.tokens / before.tokens, 6) if before and before.tokens else None,
        identical_lines=sum(same) if same is not None else None, latin_lines=sum(latin),
        identical_latin_lines=sum(map(min, same, latin)) if same is not None else None,
        first_different_latin_line=first_difference(pair, zip(lines, rows, latin, same, strict=True)) if same else None,
        round_trip=trip, agreements=agreements,
    )


def first_difference(pair: Pair, judged: Iterable[tuple[str, list[int], bool, bool]]) -> Example | None:
    """The first line in Latin letters that is not split as before."""
    for line, row, latin, same in judged:
        if latin and not same and pair.before is not None:
            return Example(text=shown(line), result=difference(pair.before.encode([line])[0], row, "", ""))
    return None


def lines_of(texts: Sequence[str]) -> list[str]:
    """The lines of the documents, without empty ones."""
    return [line for document in whole(texts) for line in document.splitlines() if line]


def use_counts(reader: Reader) -> Counts:
    """A zero for each id."""
    return np.zeros(max(reader.pieces, 1), dtype=np.int64)


def side(documents: Sequence[str], reader: Reader, uses: "Counts | None", progress: Callable[[int], None]) -> Side:
    """What one tokenizer makes of the documents."""
    counts = use_counts(reader)
    for chunk in chunks(documents):
        ids = np.fromiter(chain.from_iterable(reader.encode(chunk)), dtype=np.int64)
        counts += np.bincount(ids, minlength=len(counts))
        progress(sum(map(len, chunk)))
    if uses is not None:
        uses += counts
    tokens, characters = int(counts.sum()), sum(map(len, documents))
    size = sum(len(document.encode()) for document in documents)
    fallback = sum(int(counts[number]) for number, piece in enumerate(reader.inventory) if piece.kind == "byte")
    unknown = int(counts[reader.unknown]) if reader.unknown is not None and 0 <= reader.unknown < len(counts) else 0
    shares = [round(part / whole_, 6) if whole_ else 0.0 for part, whole_ in (
        (tokens, characters), (characters, tokens), (size, tokens), (fallback, tokens), (unknown, tokens)
    )]
    return Side(
        tokens=tokens, tokens_per_character=shares[0], characters_per_token=shares[1], bytes_per_token=shares[2],
        byte_fallback_share=shares[3], unknown_share=shares[4],
    )


def same_lines(lines: Sequence[str], rows: Sequence[Sequence[int]], before: Reader) -> list[bool]:
    """For each line, whether it is split as before."""
    old = [row for chunk in chunks(lines) for row in before.encode(chunk)]
    return [list(ours) == list(theirs) for ours, theirs in zip(rows, old, strict=True)]


def characters_of(reader: Reader) -> Characters:
    """The characters of the three blocks that the tokenizer knows, in three senses."""
    code_points = [chr(code) for block in BLOCKS.values() for code in range(ord(block[0]), ord(block[-1]) + 1)]
    rows = reader.encode_inside(code_points)
    bare = [
        (character, len(row)) for character, row in zip(code_points, rows, strict=True)
        if row and all(reader.inventory[number].kind == "text" for number in row)
    ]
    said = (piece.text or piece.name for piece in reader.inventory if piece.kind == "text")
    return Characters(
        in_pieces=count_characters(character for text in said for character in text),
        without_byte_fallback=count_characters(character for character, _ in bare),
        in_one_token=count_characters(character for character, length in bare if length == 1),
    )


def chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in order, in groups of about half a million characters."""
    start = size = 0
    for number, text in enumerate(texts):
        size += len(text)
        if size >= CHUNK_CHARACTERS:
            yield texts[start:number + 1]
            start, size = number + 1, 0
    if start < len(texts):
        yield texts[start:]


def shown(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS - 1] + "…"
