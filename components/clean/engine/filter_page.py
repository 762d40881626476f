"""A page in, the verdict on it out."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from urllib.parse import urlsplit

from components.clean.engine.pages import Page
from components.clean.engine.verdicts import Verdict
from components.clean.extract import READABLE, extract, media_type
from components.clean.finish import finish
from components.clean.language import identify
from components.clean.minhash import band_hashes, text_digest
from components.clean.passthrough import PassthroughCleaner
from components.clean.rules import Text, broken, ng_pattern
from components.clean.swallow import SwallowCleaner

CODE = "code"
"""The language that a source of program code claims; there is nothing to identify."""


def judge(cleaner: SwallowCleaner | PassthroughCleaner, page: Page) -> Verdict:
    """As the cleaner's parameters have it."""
    return judge_swallow(cleaner, page) if isinstance(cleaner, SwallowCleaner) else judge_keep(cleaner, page)


def judge_keep(cleaner: PassthroughCleaner, page: Page) -> Verdict:
    """Kept, unless there is no text in it or its source claims a language that was not asked for."""
    text, rule = read(page, cleaner.skip_elements)
    if rule is None and page.language not in cleaner.languages:
        rule = "languages"
    return Verdict(page.uri, page.language, rule, text if rule is None else "")


def judge_swallow(cleaner: SwallowCleaner, page: Page) -> Verdict:
    """Kept, if no rule rejects it; then with stage 4 of the Swallow Corpus applied to Japanese."""
    if page.crawled and refused(page.uri, cleaner.refused_hosts):
        return Verdict(page.uri, page.language, "refused_hosts")
    text, rule = read(page, cleaner.skip_elements)
    language = page.language if page.language == CODE or rule else identify(text)
    rule = rule or next(objections(cleaner, text, language, page.language), None)
    if rule:
        return Verdict(page.uri, language, rule)
    same = cleaner.deduplicate
    bands = band_hashes(text, same.ngram, same.bands, same.rows, same.seed).tobytes()
    final = finish(text) if language == "ja" else text
    return Verdict(page.uri, language, None, final, text_digest(text), bands)


def objections(cleaner: SwallowCleaner, text: str, language: str, claimed: str) -> Iterator[str]:
    """The rules that reject the text, in the order of `SwallowCleaner.rule_names`."""
    if language not in cleaner.languages or language != claimed:
        yield "languages"
    if len(text) < cleaner.minimum_characters:
        yield "minimum_characters"
    if language == "ja" and (rule := broken(Text(text), cleaner.rules, compiled(tuple(cleaner.ng_words)))):
        yield rule


compiled = cache(ng_pattern)


def read(page: Page, skip_elements: list[str]) -> tuple[str, str | None]:
    """The page's text, or the reason why there is none."""
    if page.status != 200 or media_type(page.content_type) not in READABLE:
        return "", "no_text_response"
    text = extract(page.body, page.content_type, skip_elements)
    return text, None if text.strip() else "no_text"


def refused(uri: str, patterns: list[str]) -> bool:
    """Whether the page's host matches a pattern; "*.example.org" means example.org too. Packages have no host."""
    try:
        host = (urlsplit(uri).hostname or "").lower()
    except ValueError:  # an address that no rule of addresses allows: a crawl has them
        return False
    return any(fnmatchcase(host, pattern) or fnmatchcase(f".{host}", pattern) for pattern in patterns)
