"""The cleaner that keeps the text of every collected page: for sources that are clean already."""

from typing import Literal

from pydantic import Field

from components.clean.contract import Cleaner
from components.clean.page import Page, Verdict


class PassthroughCleaner(Cleaner):
    """Keeps every page that has text and whose source claims one of `languages`; nothing is compared or corrected."""

    kind: Literal["passthrough"]
    version: Literal[1]
    languages: list[str] = Field(min_length=1)
    skip_elements: list[str]

    def rule_names(self) -> list[str]:
        """As the contract says."""
        return ["no_text_response", "no_text", "languages"]

    def filter(self, page: Page) -> Verdict:
        """As the contract says."""
        from components.clean.extract import read_text

        text, rule = read_text(page, self.skip_elements)
        if rule is None and page.language not in self.languages:
            rule = "languages"
        return Verdict.rejected(page, rule) if rule else Verdict.kept(page, text)
