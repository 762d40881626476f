"""Judges the facts of a check: each named check passes, fails or does not apply."""

from collections.abc import Sequence

from components.tokenizers.check.facts import Agreement, CheckVerdict, Domain, Fuzz, Reach
from components.tokenizers.check.readers.reader import Reader

CLASSES = (
    ("normalised", "as the normaliser leaves them"),
    ("lossy_character", "with a space for U+2581, SentencePiece's sign for it"),
    ("white_space", "with other white space"),
    ("unknown", "without characters that have no piece"),
    ("lost", "changed"),
    ("inherited", "of these changed by the base as well"),
)


def judge_round_trip(domains: Sequence[Domain], fuzz: Fuzz | None) -> CheckVerdict:
    """Passes if no text is lost: each comes back as it was, or as the tokenizer's own normaliser leaves it.

    A change that the base makes as well is not a failure. If a kind of tokenizer cannot do better (words are cut at white
    space, or characters have no piece and no bytes to fall back to), the verdict does not apply.
    """
    trips = [*(domain.round_trip for domain in domains), *([fuzz.round_trip] if fuzz else [])]
    words = [f"{sum(trip.exact for trip in trips):,} of {sum(trip.texts for trip in trips):,} texts come back exactly"]
    words += [f"{count:,} {meaning}" for name, meaning in CLASSES if (count := sum(getattr(t, name) or 0 for t in trips))]
    excused = sum(trip.of_its_kind for trip in trips)
    words += [f"{excused:,} of these because this kind of tokenizer cannot do better: not judged"] if excused else []
    passed = None if excused or not trips else True
    if any(trip.failures for trip in trips):
        passed = False
    return CheckVerdict(name="round trip", passed=passed, words=", ".join(words))


def judge_agreement(agreements: Sequence[Agreement]) -> CheckVerdict:
    """Passes if all readings of the folder give the same ids and the same text."""
    name = "slow equals fast"
    if not agreements:
        return CheckVerdict(name=name, passed=None, words="there is one reading only")
    parts: dict[str, tuple[int, int]] = {}
    for agreement in agreements:
        texts, different = parts.get(agreement.of, (0, 0))
        parts[agreement.of] = texts + agreement.texts, different + agreement.different
    words = "; ".join(f"{of}: {different:,} of {texts:,} texts differ" for of, (texts, different) in parts.items())
    return CheckVerdict(name=name, passed=not any(different for _, different in parts.values()), words=words)


def judge_reach(new: Reach | None, every: Reach | None) -> CheckVerdict:
    """Passes if text leads to every new piece; of all pieces, the base's included, the number is only stated."""
    name = "every new piece is reachable"
    if every is None:
        return CheckVerdict(name=name, passed=None, words="what a piece says is not known for this kind")
    rest = f"of all, {every.unreachable:,} of {every.tested:,} are unreachable"
    if new is None or not new.tested:
        return CheckVerdict(name=name, passed=None, words=f"no new pieces; {rest}")
    skipped = f", {new.skipped:,} that are not whole characters left out" if new.skipped else ""
    words = f"{new.unreachable:,} of {new.tested:,} new pieces are unreachable{skipped}; {rest}"
    return CheckVerdict(name=name, passed=not new.unreachable, words=words)


def judge_ids(before: Reader | None, after: Reader, *, rebuilt: bool) -> CheckVerdict:
    """Passes if each id of the base means the same as before: same piece, score and type, first merges and rules."""
    name = "base ids are unchanged"
    if rebuilt:
        return CheckVerdict(name=name, passed=None, words="the base was rebuilt from this tokenizer; name it with --base")
    if before is None:
        return CheckVerdict(name=name, passed=None, words="no base; name one with --base")
    alike = type(before) is type(after)
    old, new = ((r.exact() if alike else [piece.name.encode() for piece in r.inventory]) for r in (before, after))
    moved = sum(was != now for was, now in zip(old, new, strict=False)) + max(0, len(old) - len(new))
    words, passed = [f"{len(old) - moved:,} of {len(old):,} pieces are what they were"], not moved
    if alike:
        merges, same = before.merges(), before.rules() == after.rules()
        in_front = after.merges()[:len(merges)] == merges
        words += [f"the first {len(merges):,} merges are {'the same' if in_front else 'others'}"] if merges else []
        words += ["normaliser and settings are the same" if same else "normaliser or settings are others"]
        passed = passed and in_front and same
    return CheckVerdict(name=name, passed=passed, words=", ".join(words))


def judge_latin(domains: Sequence[Domain]) -> CheckVerdict:
    """Passes if lines whose letters are all Latin are split as before."""
    name = "English and code are unchanged"
    counted = [d for d in domains if d.identical_latin_lines is not None]
    total = sum(domain.latin_lines for domain in counted)
    if not total:
        words = "the texts hold no line in Latin letters" if counted else "no base; name one with --base"
        return CheckVerdict(name=name, passed=None, words=words)
    same = sum(domain.identical_latin_lines or 0 for domain in counted)
    return CheckVerdict(name=name, passed=same == total, words=f"{same:,} of {total:,} lines in Latin letters split as before")
