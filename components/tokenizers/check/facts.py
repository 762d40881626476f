"""The document that `check.json` holds: every measured number, and the verdicts that follow from them.

What could not be measured is null, and `notes` says why in words.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """Measured values: frozen, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sizes(Facts):
    """One tokenizer."""

    file: str
    """The file that the numbers come from."""
    family: str
    pieces: int
    specials: int
    special_names: list[str]
    """The first ten."""
    byte_pieces: int
    """Pieces that are bytes or parts of a character: they say nothing by themselves."""
    normaliser: str


class Characters(Facts):
    """How many different characters of each Unicode block: hiragana, katakana, kanji."""

    in_pieces: dict[str, int]
    """That occur in any piece: how announcements count."""
    without_byte_fallback: dict[str, int]
    """That encode by themselves, inside a sentence, without bytes or unknowns."""
    in_one_token: dict[str, int]
    """That encode to a single such token."""


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
    """A text, at most 120 characters of it, and what became of it."""

    text: str
    result: str


class RoundTrip(Facts):
    """What decoding an encoding gives back; the classes exclude each other and add up to `texts`."""

    texts: int
    exact: int
    normalised: int
    """Not the text, but what the tokenizer's own normaliser makes of it."""
    lossy_character: int
    """Holds U+2581, which SentencePiece cannot tell from a space; otherwise whole."""
    white_space: int
    """Only white space differs."""
    unknown: int
    """Holds a character that has no piece."""
    lost: int
    """None of these: text came back changed."""
    inherited: int | None
    """Of the last three classes: how many the base changes as well."""
    of_its_kind: int
    """Of these three, not inherited: white space where words are cut at it, unknowns where there is no byte fallback."""
    failures: int
    """The rest of these three."""
    first: Example | None
    """The first failure, or else the first of these three."""


class Agreement(Facts):
    """Two readings of one folder, over the same texts: ids, and the text they decode to."""

    of: str
    texts: int
    different: int
    first: Example | None


class Domain(Facts):
    """One kind of text: whole documents for the counts, their lines for the comparisons."""

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
    """How many lines split into the same ids before and after."""
    latin_lines: int
    """Lines whose letters are all Latin: English and code, which an expansion should leave alone."""
    identical_latin_lines: int | None
    first_different_latin_line: Example | None
    round_trip: RoundTrip
    agreements: list[Agreement]


class Used(Facts):
    """A new piece and how often the texts use it."""

    id: int
    piece: str
    count: int


class NewPieces(Facts):
    """Pieces that the base lacks, over all the texts."""

    used: int
    unused: int
    most_used: list[Used]


class Reach(Facts):
    """Pieces whose own text, inside a sentence, does not encode to them, nor between any of a few neighbours."""

    tested: int
    skipped: int
    """Specials, bytes, and pieces that are no whole characters."""
    unreachable: int
    examples: list[str]


class Fuzz(Facts):
    """Random strings."""

    strings: int
    seed: int
    round_trip: RoundTrip
    agreements: list[Agreement]


class Generation(Facts):
    """What fewer tokens are worth when text is written: times faster, at a fixed cost for each token."""

    domain: str
    speed_up: float
    """Tokens before ÷ tokens after."""
    speed_up_with_head: float | None
    """The same, with the larger output head counted: matrix FLOPs per token from config.json, attention scores left out."""
    context_tokens: int
    context_characters_before: int
    context_characters_after: int


class CheckVerdict(Facts):
    """A named check; `passed` is null where it does not apply."""

    name: str
    passed: bool | None
    words: str


class Check(Facts):
    """Everything; equal tokenizers and texts give equal bytes."""

    schema_version: Literal[1]
    versions: dict[str, str]
    """Of the libraries that split the text."""
    added: int | None
    before: Sizes | None
    after: Sizes
    base: Literal["given", "rebuilt", "none"]
    """Where the numbers before come from; `rebuilt`: the first pieces of the enlarged tokenizer itself."""
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
