"""What a worker says of one page, and the rules that both cleaners ask."""

from dataclasses import dataclass

NO_TEXT_RESPONSE = "text_response"
NO_TEXT = "text"
LANGUAGE = "languages"


@dataclass(frozen=True)
class Verdict:
    """Rejected by `rule`, or kept with its text, its language and what duplicates are known by (empty: not asked)."""

    source: int
    uri: str
    rule: str | None
    language: str
    text: str
    digest: bytes
    bands: bytes
