"""Collected pages in, text by the rules of the Swallow Corpus (version 1) out."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from components.base.fields import Fields
from components.base.ports import Context
from components.clean.contract import Cleaner, CleanReport
from components.clean.rules import Rules, Text, questions


class MinHash(Fields):
    """Near duplicates: texts that share a band of `rows` MinHash values over character n-grams."""

    kind: Literal["minhash"]
    ngram: PositiveInt
    bands: PositiveInt
    rows: PositiveInt
    seed: int = Field(ge=0)


class SwallowCleaner(Cleaner):
    """Language, length, the Japanese quality rules, duplicates, then punctuation and footers (arXiv 2404.17733).

    A page is kept where its identified language is one of `languages` and the one that its source claims. Hosts are refused
    to crawled pages only: a source of chosen documents (JSON lines of Wikipedia, say) is not a crawl that hit upon them.
    """

    kind: Literal["swallow"]
    version: Literal[2]
    languages: list[str] = Field(min_length=1)
    minimum_characters: int = Field(ge=0)
    heldout_fraction: float = Field(ge=0, lt=1)
    skip_elements: list[str]
    rules: Rules
    refused_hosts: list[str]
    ng_words: list[str]
    deduplicate: MinHash

    def rule_names(self) -> list[str]:
        """What can reject a page, in the order in which it is asked."""
        japanese = [name for name, _ in questions(Text(""), self.rules, None)]
        return ["refused_hosts", "no_text_response", "no_text", "languages", "minimum_characters", *japanese,
                "exact_duplicate", "near_duplicate"]

    def run(self, context: Context, sources: Path, output: Path) -> CleanReport:
        """Raises `EmptyCorpus` where nothing is left, naming the rule that took most."""
        from components.clean.engine.run import clean_corpus  # it knows every cleaner

        return clean_corpus(context, self, sources, output)
