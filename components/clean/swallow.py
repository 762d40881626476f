"""The cleaner that applies the rules of the Swallow Corpus (version 1) to one page after another."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, PositiveInt

from components.base.fields import Fields
from components.clean.contract import Cleaner
from components.clean.page import Page, Verdict
from components.clean.rules import Rules, Text, broken, ng_pattern, questions

CODE = "code"
"""The language that a source of program code claims; there is nothing to identify."""


class MinHash(Fields):
    """Near duplicates: texts that share a band of `rows` MinHash values over character n-grams."""

    kind: Literal["minhash"]
    ngram: PositiveInt
    bands: PositiveInt
    rows: PositiveInt
    seed: int = Field(ge=0)


class SwallowCleaner(Cleaner):
    """Language, length, the Japanese quality rules, duplicates, then punctuation and footers (arXiv 2404.17733).

    A page is kept if its identified language is one of `languages` and the one that its source claims. Refused hosts
    concern crawled pages only: a source of chosen documents (JSON lines of Wikipedia, say) did not come upon them by chance.
    """

    kind: Literal["swallow"]
    version: Literal[2]
    languages: list[str] = Field(min_length=1)
    minimum_characters: int = Field(ge=0)
    skip_elements: list[str]
    rules: Rules
    refused_hosts: list[str]
    ng_words: list[str]
    deduplicate: MinHash

    def rule_names(self) -> list[str]:
        """As the contract says."""
        japanese = [name for name, _ in questions(Text(""), self.rules, None)]
        return ["refused_hosts", "no_text_response", "no_text", "languages", "minimum_characters", *japanese,
                "exact_duplicate", "near_duplicate"]

    def filter(self, page: Page) -> Verdict:
        """As the contract says; what is kept of Japanese has gone through stage 4 of the Swallow Corpus."""
        # imported here, because reading parameters must not load them
        from components.clean.extract import read_text
        from components.clean.finish import finish
        from components.clean.language import identify
        from components.clean.minhash import band_hashes, text_digest

        if page.crawled and is_refused(page.uri, self.refused_hosts):
            return Verdict.rejected(page, "refused_hosts")
        text, rule = read_text(page, self.skip_elements)
        language = page.language if page.language == CODE or rule else identify(text)
        if rule := rule or next(self._objections(text, language, page.language), None):
            return Verdict.rejected(page, rule, language)
        same = self.deduplicate
        bands = band_hashes(text, same.ngram, same.bands, same.rows, same.seed).tobytes()
        return Verdict(page.uri, language, None, finish(text) if language == "ja" else text, text_digest(text), bands)

    def _objections(self, text: str, language: str, claimed: str) -> Iterator[str]:
        """The rules that reject the text, in the order of `rule_names`."""
        if language not in self.languages or language != claimed:
            yield "languages"
        if len(text) < self.minimum_characters:
            yield "minimum_characters"
        if language == "ja" and (rule := broken(Text(text), self.rules, compiled(tuple(self.ng_words)))):
            yield rule


@cache
def compiled(words: Sequence[str]) -> re.Pattern[str] | None:
    """The pattern of the NG words, made once in a process."""
    return ng_pattern(words)


def is_refused(uri: str, patterns: Sequence[str]) -> bool:
    """Whether the page's host matches a pattern; "*.example.org" means example.org too. Packages have no host."""
    try:
        host = (urlsplit(uri).hostname or "").lower()
    except ValueError:  # an address that is not a valid one: a crawl has such
        return False
    return any(fnmatchcase(host, pattern) or fnmatchcase(f".{host}", pattern) for pattern in patterns)
