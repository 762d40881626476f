"""The document that `check.json` holds: every measured number, and the verdicts that follow from the numbers.

What could not be measured is null, and `notes` says why in words.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """Measured values: frozen, without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sizes(Facts):
    """What one tokenizer is, and how many pieces it has."""

    file: str
    """The file that the numbers come from."""
    family: str
    pieces: int
    specials: int
    special_names: list[str]
    """The first ten of them."""
    byte_pieces: int
    """Pieces that are bytes or parts of a character: they are not text by themselves."""
    normaliser: str


class Characters(Facts):
    """How many different characters of each Unicode block: hiragana, katakana, kanji."""

    in_pieces: dict[str, int]
    """Characters that occur in any piece: how announcements count."""
    without_byte_fallback: dict[str, int]
    """Characters that encode by themselves, inside a sentence, without bytes or unknowns."""
    in_one_token: dict[str, int]
    """Characters that encode to a single such token."""


class Side(Facts):
    """What one tokenizer makes of a domain's documents; BOS and EOS are not counted."""

    tokens: int
    tokens_per_character: float
    characters_per_token: float
    bytes_per_token: float
    byte_fallback_share: float
    """The share of tokens that are bytes or parts of a character."""
    unknown_share: float


class Example(Facts):
    """At most 120 characters of a text, and the result that it gave."""

    text: str
    result: str


class RoundTrip(Facts):
    """What texts become when they are encoded and decoded; the first six classes exclude each other and add up to `texts`."""

    texts: int
    exact: int
    normalised: int
    """Comes back as the tokenizer's own normaliser leaves it."""
    lossy_character: int
    """Holds U+2581, which SentencePiece cannot tell from a space; comes back whole otherwise."""
    white_space: int
    """Only white space differs."""
    unknown: int
    """Holds a character that has no piece."""
    lost: int
    """None of these: the text came back changed."""
    inherited: int | None
    """Of the last three classes: how many texts the base changes as well."""
    of_its_kind: int
    """Of these three, not inherited: white space if words are cut at it, unknowns if there is no byte fallback."""
    failures: int
    """The rest of these three."""
    first: Example | None
    """The first failure; if there is none, the first text of these three."""


class Agreement(Facts):
    """Whether two readings of one folder give the same ids and the same decoded text, over the same texts."""

    of: str
    texts: int
    different: int
    first: Example | None


class Domain(Facts):
    """One kind of text: counted over whole documents, compared line by line."""

    name: str
    japanese: bool
    documents: int
    characters: int
    bytes: int
    lines: int
    before: Side | None
    after: Side
    ratio: float | None
    """Tokens per character after ÷ before."""
    identical_lines: int | None
    """How many lines are split into the same ids before and after."""
    latin_lines: int
    """Lines whose letters are all Latin: English and code, which an expansion should leave alone."""
    identical_latin_lines: int | None
    first_different_latin_line: Example | None
    round_trip: RoundTrip
    agreements: list[Agreement]


class Used(Facts):
    """A new piece, and how often the texts use it."""

    id: int
    piece: str
    count: int


class NewPieces(Facts):
    """How all the texts use the pieces that the base lacks."""

    used: int
    unused: int
    most_used: list[Used]


class Reach(Facts):
    """Pieces that their own text, inside a sentence, does not encode to, neither alone nor between a few neighbours."""

    tested: int
    skipped: int
    """Specials, bytes, and pieces that are not whole characters."""
    unreachable: int
    examples: list[str]


class Fuzz(Facts):
    """What was found with random strings."""

    strings: int
    seed: int
    round_trip: RoundTrip
    agreements: list[Agreement]


class Generation(Facts):
    """How many times faster text is generated with fewer tokens, at a fixed cost for each token."""

    domain: str
    speed_up: float
    """Tokens before ÷ tokens after."""
    speed_up_with_head: float | None
    """The same, with the larger output head counted: matrix FLOPs per token from config.json, attention scores left out."""
    context_tokens: int
    context_characters_before: int
    context_characters_after: int


class CheckVerdict(Facts):
    """A named check; `passed` is null if the check does not apply."""

    name: str
    passed: bool | None
    words: str


class Check(Facts):
    """The whole document; equal tokenizers and texts give equal bytes."""

    schema_version: Literal[1]
    versions: dict[str, str]
    """The versions of the libraries that split the text."""
    added: int | None
    before: Sizes | None
    after: Sizes
    base: Literal["given", "rebuilt", "none"]
    """Where the numbers before come from; `rebuilt`: from the first pieces of the enlarged tokenizer itself."""
    characters_before: Characters | None
    characters_after: Characters
    domains: list[Domain]
    new_pieces: NewPieces | None
    reach_new: Reach | None
    reach_all: Reach | None
    fuzz: Fuzz | None
    auto_tokenizer: Agreement | None
    """`AutoTokenizer` on a sample of all texts."""
    generation: list[Generation]
    head_cost: float | None
    """Matrix FLOPs per token after ÷ before."""
    notes: list[str]
    verdicts: list[CheckVerdict]

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return [verdict.name for verdict in self.verdicts if verdict.passed is False]
