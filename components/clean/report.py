"""What `clean` states about its output."""

from components.base.component import Report


class CleanReport(Report):
    """Pages in, documents kept, and how many each rule rejected (in the order in which the rules were asked)."""

    pages: int
    kept: int
    rejected: dict[str, int]
    characters: dict[str, int]
    """Kept characters by language, training and held-out text together."""
    heldout: dict[str, int]
    """Held-out documents by language."""

    def headline(self) -> str:
        """Pages in, kept, and each rule's count."""
        rules = ", ".join(f"{rule} {count:,}" for rule, count in self.rejected.items() if count)
        text = ", ".join(f"{language} {count / 1e6:.2f} M" for language, count in sorted(self.characters.items()))
        return f"{self.pages:,} pages in, {self.kept:,} kept ({text} characters); rejected: {rules or 'none'}"
