"""A collected page, and the verdict that a cleaner gives on it."""

from dataclasses import dataclass
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Page:
    """One page as it was collected: `source` is its place in the manifest, `language` what the manifest claims.

    `crawled`: the page was found, not chosen (every record but a `resource`).
    """

    source: int
    language: str
    uri: str
    crawled: bool
    content_type: str
    status: int
    body: bytes


@dataclass(frozen=True)
class Verdict:
    """What becomes of a page: it is rejected by `rule`, or, if that is None, kept with its text."""

    uri: str
    language: str
    rule: str | None
    text: str = ""
    digest: bytes = b""
    """Of documents with equal digests, one is kept; empty in all verdicts of a cleaner that compares nothing."""
    bands: bytes = b""
    """64-bit hashes, as many in each verdict: of documents that share one in the same place, one is kept."""

    @classmethod
    def rejected(cls, page: Page, rule: str, language: str | None = None) -> Self:
        """The page is not kept; `language`: that of its text, if it is not the one that its source claims."""
        return cls(page.uri, language or page.language, rule)

    @classmethod
    def kept(cls, page: Page, text: str) -> Self:
        """The text is kept, in the language that its source claims, and compared with nothing."""
        return cls(page.uri, page.language, None, text)


class PageFilter(Protocol):
    """What the engine asks of a cleaner (`components.clean.contract.Cleaner`)."""

    @property
    def heldout_fraction(self) -> float:
        """The share of documents that are kept from training."""
        ...

    def rule_names(self) -> list[str]:
        """The names of what can reject a page, in the order in which they are asked."""
        ...

    def filter(self, page: Page) -> Verdict:
        """What becomes of one page."""
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """The cleaner's parameters, from which it is built again in every rank."""
        ...
