"""Makes the tables of a `Check`: the terminal draws them, and `page` writes them as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from components.tokenizers.check.facts import Check, Domain, Example, Reach, Side

PAGE = """\
# Tokenizer check

{ending}

{tables}
{notes}"""
PASSED = {True: "pass", False: "FAIL", None: "n/a"}
NONE = "—"


@dataclass(frozen=True)
class Table:
    """A title, a heading for each column, and rows of text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool = True
    """Whether all columns but the first hold numbers, which are aligned to the right."""


def tables(check: Check) -> list[Table]:
    """All tables, in reading order; empty ones are left out."""
    found = [
        sizes(check), characters(check), fertility(check), comparisons(check), generation(check), new_pieces(check),
        reach(check), round_trips(check), examples(check), verdicts(check),
    ]
    return [table for table in found if table.rows]


def ending(check: Check) -> list[str]:
    """The result in two lines: counts, and a conclusion."""
    passed, failed = (sum(v.passed is wanted for v in check.verdicts) for wanted in (True, False))
    rest = len(check.verdicts) - passed - failed
    counts = f"{len(check.verdicts)} checks: {passed} passed, {failed} failed, {rest} not applicable."
    if failed:
        return [counts, f"This vocabulary is not to be trusted yet; failed: {', '.join(check.failed)}."]
    trips = [*(domain.round_trip for domain in check.domains), *([check.fuzz.round_trip] if check.fuzz else [])]
    if changed := sum(trip.of_its_kind for trip in trips):
        texts = sum(trip.texts for trip in trips)
        lost = f"{changed:,} of {texts:,} texts come back changed: this kind of tokenizer loses text."
        return [counts, f"No check failed, but {lost}"]
    return [counts, "Nothing speaks against this vocabulary."]


def page(check: Check) -> str:
    """The whole of `check.md`."""
    notes = "\n".join(f"- {escaped(note)}" for note in check.notes)
    return PAGE.format(
        ending="  \n".join(ending(check)), tables="\n".join(map(markdown, tables(check))),
        notes=f"\n## Notes\n\n{notes}\n" if notes else "",
    )


def markdown(table: Table) -> str:
    """One table."""
    ruler = ["---", *("---:" if table.numbers else "---" for _ in table.columns[1:])]
    rows = [list(table.columns), ruler, *([escaped(cell) for cell in row] for row in table.rows)]
    return f"## {table.title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def escaped(text: str) -> str:
    """Text as it may stand in a Markdown table: on one line, with all markup escaped."""
    plain = printable(text)
    for sign in ("\\", "|", "*", "_", "`", "<", "[", "#"):
        plain = plain.replace(sign, f"\\{sign}")
    return plain


def printable(text: str) -> str:
    """Text on one line, with characters that cannot be printed spelled out."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)


def sizes(check: Check) -> Table:
    """Kind and size of the two tokenizers."""
    both = (check.before, check.after)
    rows = [
        ["kind", *(s.family if s else NONE for s in both)], ["read from", *(s.file if s else NONE for s in both)],
        ["pieces", *(f"{s.pieces:,}" if s else NONE for s in both)],
        ["special pieces", *(f"{s.specials:,}" if s else NONE for s in both)],
        ["bytes and parts of characters", *(f"{s.byte_pieces:,}" if s else NONE for s in both)],
        ["normaliser", *(s.normaliser if s else NONE for s in both)],
    ]
    if check.added is not None:
        rows.insert(3, ["added", "", f"{check.added:,}"])
    before = {"given": "before", "rebuilt": "before (rebuilt)", "none": "before (no base)"}[check.base]
    return Table("Tokenizer", ["", before, "after"], rows, numbers=False)


def characters(check: Check) -> Table:
    """Different characters by block, in three senses."""
    after, before = check.characters_after, check.characters_before
    senses = ("in_pieces", "in_one_token", "without_byte_fallback")
    rows = []
    for sense in senses:
        new, old = getattr(after, sense), getattr(before, sense) if before else {}
        rows.append([sense.replace("_", " "), *(change(old.get(name), new[name]) for name in new)])
    return Table("Characters of each Unicode block", ["different characters", *after.in_pieces], rows)


def change(old: int | None, new: int) -> str:
    """Before → after."""
    return f"{new:,}" if old is None else f"{old:,} → {new:,}"


def fertility(check: Check) -> Table:
    """Tokens per character of each domain."""
    columns = ["domain", "chars", "tokens/char", "ratio", "chars/token", "bytes/token", "fallback"]
    rows = [fertility_row(domain) for domain in check.domains]
    sides = [side for domain in check.domains for side in (domain.before, domain.after) if side is not None]
    if any(side.unknown_share for side in sides):  # few tokens are not a merit if unknown ones stand for lost text
        columns.append("unknown")
        rows = [[*row, shares(domain, "unknown_share")] for row, domain in zip(rows, check.domains, strict=True)]
    return Table("Text in tokens", columns, rows)


def fertility_row(domain: Domain) -> list[str]:
    """One domain."""
    before, after = domain.before, domain.after
    return [
        domain.name, f"{domain.characters:,}", number(before, "tokens_per_character", after),
        f"{domain.ratio:.3f}" if domain.ratio is not None else NONE, number(before, "characters_per_token", after, 2),
        number(before, "bytes_per_token", after, 2),
        shares(domain, "byte_fallback_share"),
    ]


def shares(domain: Domain, name: str) -> str:
    """A share of the tokens of one or two sides."""
    return " → ".join(f"{getattr(side, name):.1%}" for side in (domain.before, domain.after) if side is not None)


def number(before: Side | None, name: str, after: Side, digits: int = 3) -> str:
    """A number of one or two sides."""
    return " → ".join(f"{getattr(side, name):.{digits}f}" for side in (before, after) if side is not None)


def comparisons(check: Check) -> Table:
    """How many lines are split as before."""
    rows = [
        [d.name, f"{d.lines:,}", share(d.identical_lines, d.lines), f"{d.latin_lines:,}",
         share(d.identical_latin_lines, d.latin_lines)]
        for d in check.domains if d.identical_lines is not None
    ]
    return Table("Lines that split as before", ["domain", "lines", "identical", "in Latin letters", "identical"], rows)


def share(part: int | None, total: int) -> str:
    """A share in per cent: 100 % only if the part is the whole."""
    if part is None or not total:
        return NONE
    return "100 %" if part == total else f"{min(part / total, 0.9999):.2%}"


def generation(check: Check) -> Table:
    """How much faster text is generated."""
    columns = ["domain", "tokens before ÷ after", "with the larger head", "characters in 4,096 tokens"]
    rows = [
        [g.domain, f"{g.speed_up:.2f} ×", f"{g.speed_up_with_head:.2f} ×" if g.speed_up_with_head else NONE,
         f"{g.context_characters_before:,} → {g.context_characters_after:,}"]
        for g in check.generation
    ]
    return Table("Generation of Japanese: how many times faster", columns, rows)


def new_pieces(check: Check) -> Table:
    """How many new pieces the texts use, and which of them most."""
    new = check.new_pieces
    if new is None or not new.used + new.unused:
        return Table("", [], [])
    most = ", ".join(f"{used.piece} {used.count:,}" for used in new.most_used[:10])
    rows = [["used", f"{new.used:,}"], ["unused", f"{new.unused:,}"], ["most used", most or NONE]]
    return Table("New pieces in these texts", ["", "pieces"], rows, numbers=False)


def reach(check: Check) -> Table:
    """Pieces that no text leads to."""
    groups = (("new", check.reach_new), ("all", check.reach_all))
    rows = [[name, *reach_row(facts)] for name, facts in groups if facts is not None]
    columns = ["pieces", "tested", "left out", "unreachable", "such as"]
    return Table("Pieces that their own text does not lead to", columns, rows)


def reach_row(facts: Reach) -> list[str]:
    """One group of pieces."""
    some = ", ".join(facts.examples[:5])
    return [f"{facts.tested:,}", f"{facts.skipped:,}", f"{facts.unreachable:,}", some or NONE]


def round_trips(check: Check) -> Table:
    """What decoding gives back, and whether the readings agree."""
    groups = [(domain.name, domain.round_trip, domain.agreements) for domain in check.domains]
    groups += [("random strings", check.fuzz.round_trip, check.fuzz.agreements)] if check.fuzz else []
    rows = [
        [name, f"{trip.texts:,}", f"{trip.exact:,}",
         f"{trip.normalised + trip.lossy_character:,}", f"{trip.lost + trip.white_space + trip.unknown:,}",
         ", ".join(f"{a.different:,}" for a in agreements) or NONE]
        for name, trip, agreements in groups
    ]
    if auto := check.auto_tokenizer:
        rows.append(["AutoTokenizer, a sample", f"{auto.texts:,}", "", "", "", f"{auto.different:,}"])
    columns = ["texts", "number", "come back", "by design otherwise", "changed", "slow ≠ fast"]
    return Table("There and back again", columns, rows)


def examples(check: Check) -> Table:
    """The first example of each kind of trouble."""
    found: list[tuple[str, str, Example | None]] = []
    for domain in check.domains:
        found.append((domain.name, "splits otherwise than before", domain.first_different_latin_line))
        found.append((domain.name, "comes back changed", domain.round_trip.first))
        found += [(domain.name, f"slow ≠ fast: {a.of}", a.first) for a in domain.agreements]
    if check.fuzz:
        found.append(("random strings", "comes back changed", check.fuzz.round_trip.first))
        found += [("random strings", f"slow ≠ fast: {a.of}", a.first) for a in check.fuzz.agreements]
    if check.auto_tokenizer:
        found.append(("a sample", "slow ≠ fast: AutoTokenizer", check.auto_tokenizer.first))
    rows = [[where, what, example.text, example.result] for where, what, example in found if example is not None]
    return Table("First examples", ["where", "what", "text", "result"], rows, numbers=False)


def verdicts(check: Check) -> Table:
    """The named checks."""
    rows = [[verdict.name, PASSED[verdict.passed], verdict.words] for verdict in check.verdicts]
    return Table("Verdict", ["check", "", "what was found"], rows, numbers=False)
