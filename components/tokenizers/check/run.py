"""Runs the check of a tokenizer folder on texts, and writes the result as check.json, check.md and check.png."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from components.errors import InputError
from components.formats.files import write_text
from components.formats.json_text import parse_json
from components.tokenizers.check.facts import Agreement, Check, CheckVerdict, Fuzz, NewPieces, Sizes, Used

if TYPE_CHECKING:
    from components.tokenizers.check.measure import Pair
    from components.tokenizers.check.readers.reader import Reader

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with what is done, the total and a few words, as `Journal.progress` is."""
Origin: TypeAlias = Literal["given", "rebuilt", "none"]

AUTO_LINES = 1000
"""How many lines of each domain, and of the random strings, are given to transformers, which is the slowest."""
MOST_USED = 20
TAKES_THE_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes of transformers that take tokenizer.json as it stands, by their old name and by their new one."""


def check_tokenizer(
    after: Path, *, base: Path | None, domains: Mapping[str, Sequence[str]] | None, fuzz: int, progress: Progress
) -> Check:
    """Measures the tokenizer of `after`; the same files and texts give an equal `Check` on any machine.

    `base` is the tokenizer before; if it is None, it is rebuilt from an enlarged tokenizer whose `expansion.json` states
    `base_pieces`, else there is none. `domains` are documents by name; if it is None, the samples that come with the
    package. Raises `InputError` if a folder holds no tokenizer that can be read.
    """
    from components.tokenizers.check.generation import cost_of_head, generation_of
    from components.tokenizers.check.measure import Pair, characters_of, measure_domain, use_counts
    from components.tokenizers.check.reach import reach_of
    from components.tokenizers.check.readers.open_reader import companion, open_reader
    from components.tokenizers.check.texts import sample_domains

    notes: list[str] = []
    reader = open_reader(after)
    before, origin = (open_reader(base), "given") if base is not None else rebuilt_base(after, reader, notes)
    second = companion(after)
    pair = Pair(reader, before, {"tokenizer.json": second} if second else {})
    texts = sample_domains() if domains is None else domains
    steps = Steps(progress, (3 if before else 2) * sum(len(t) for group in texts.values() for t in group))

    uses = use_counts(reader)
    measured = [measure_domain(name, group, pair, uses, steps.named(name)) for name, group in texts.items()]
    fuzzed = fuzz_facts(pair, fuzz, steps.named("random strings")) if fuzz else None
    auto = auto_agreement(after, reader, texts, fuzz, notes)
    new = range(before.pieces, reader.pieces) if before else range(0)
    reach_new = reach_of(reader, new) if before else None
    reach_all = reach_of(reader, range(reader.pieces))
    cost, why_not = cost_of_head(after, before.pieces, reader.pieces) if before else (None, "")
    notes += [why_not] if why_not else []
    notes += missing_words(reader)
    notes += [f"the library refused texts, which count as no tokens: {reader.refusals[0]}"] if reader.refusals else []
    notes += ["what a piece says is not known for this kind: reachability was not measured"] if reach_all is None else []
    steps.end()
    check = Check(
        schema_version=1, versions={name: version(name) for name in ("sentencepiece", "tokenizers", "transformers")},
        added=reader.pieces - before.pieces if before else None, before=sizes(before) if before else None, after=sizes(reader),
        base=origin, characters_before=characters_of(before) if before else None, characters_after=characters_of(reader),
        domains=measured, new_pieces=new_pieces(reader, new, uses.tolist()) if before else None, reach_new=reach_new,
        reach_all=reach_all, fuzz=fuzzed, auto_tokenizer=auto, generation=generation_of(measured, cost), head_cost=cost,
        notes=notes, verdicts=[],
    )
    return check.model_copy(update={"verdicts": judge(check, before, reader)})


def write_check(check: Check, folder: Path) -> None:
    """Writes check.json, check.md and check.png; equal checks give equal bytes. Raises `InputError` if writing fails."""
    from components.tokenizers.check.plot import draw_check
    from components.tokenizers.check.tables import page

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "check.json", check.model_dump_json(indent=2) + "\n")
        write_text(folder / "check.md", page(check))
        draw_check(check, folder / "check.png")
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}). Name another folder.") from None


def judge(check: Check, before: "Reader | None", after: "Reader") -> list[CheckVerdict]:
    """The verdicts, in reading order."""
    from components.tokenizers.check import verdicts

    agreements = [agreement for domain in check.domains for agreement in domain.agreements]
    agreements += [*(check.fuzz.agreements if check.fuzz else []), *([check.auto_tokenizer] if check.auto_tokenizer else [])]
    return [
        verdicts.judge_round_trip(check.domains, check.fuzz), verdicts.judge_agreement(agreements),
        verdicts.judge_reach(check.reach_new, check.reach_all),
        verdicts.judge_ids(before, after, rebuilt=check.base == "rebuilt"), verdicts.judge_latin(check.domains),
    ]


class Steps:
    """Adds up the progress of all measurements."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.done = progress, max(total, 1), 0

    def named(self, name: str) -> Callable[[int], None]:
        """A counter of the characters of one domain."""
        def count(characters: int) -> None:
            self.done = min(self.done + characters, self.total - 1)
            self.progress(self.done, self.total, f"characters, {name}")
        return count

    def end(self) -> None:
        """Reports that all is done."""
        self.progress(self.total, self.total, "characters")


def rebuilt_base(folder: Path, reader: "Reader", notes: list[str]) -> "tuple[Reader | None, Origin]":
    """The base of an enlarged tokenizer whose `expansion.json` says how many pieces it had before."""
    from components.tokenizers.check.readers import fast_reader, sentencepiece_reader

    path = folder / "expansion.json"
    if not path.exists():
        return None, "none"
    try:
        pieces = parse_json(path.read_bytes())["base_pieces"]
    except (OSError, ValueError, KeyError, TypeError):
        notes.append("expansion.json states no base_pieces: there is no base to compare with")
        return None, "none"
    if isinstance(pieces, int) and 0 < pieces <= reader.pieces:
        if isinstance(reader, sentencepiece_reader.SentencePieceReader):
            return sentencepiece_reader.base_of(reader, pieces), "rebuilt"
        if isinstance(reader, fast_reader.FastReader):
            return fast_reader.base_of(reader, pieces), "rebuilt"
    notes.append(f"expansion.json states base_pieces {pieces!r}, from which no base can be rebuilt for {reader.family}")
    return None, "none"


def missing_words(reader: "Reader") -> list[str]:
    """A note if bytes have no piece."""
    if not reader.missing_bytes:
        return []
    names = ", ".join(f"0x{byte:02X}" for byte in sorted(reader.missing_bytes))
    return [f"{len(reader.missing_bytes)} of the 256 bytes have no piece, and text loses them without a sign: {names}"]


def sizes(reader: "Reader") -> Sizes:
    """Kind and size of the tokenizer."""
    specials = [piece.name for piece in reader.inventory if piece.kind == "special"]
    return Sizes(
        file=reader.file, family=reader.family, pieces=reader.pieces, specials=len(specials), special_names=specials[:10],
        byte_pieces=sum(piece.kind == "byte" for piece in reader.inventory), normaliser=reader.normaliser,
    )


def new_pieces(reader: "Reader", new: range, uses: Sequence[int]) -> NewPieces:
    """The new pieces that the texts use, most used first; among equals, the lower id first."""
    used = sorted((number for number in new if uses[number]), key=lambda number: (-uses[number], number))
    most = [
        Used(id=number, piece=reader.inventory[number].text or reader.inventory[number].name, count=uses[number])
        for number in used[:MOST_USED]
    ]
    return NewPieces(used=len(used), unused=len(new) - len(used), most_used=most)


def fuzz_facts(pair: "Pair", count: int, progress: Callable[[int], None]) -> Fuzz:
    """Round trips and agreements of random strings."""
    from components.tokenizers.check.fuzz import SEED, random_strings
    from components.tokenizers.check.measure import compare

    strings = random_strings(count, pair.after.inventory)
    trip, agreements, _ = compare(strings, pair, progress)
    return Fuzz(strings=count, seed=SEED, round_trip=trip, agreements=agreements)


def auto_words(tokenizer: Any, pieces: int, *, differs: bool, built: bool) -> list[str]:
    """Notes on what `AutoTokenizer` makes of a folder: a class that builds its own rules, and tokens that it adds."""
    notes, name = [], type(tokenizer).__name__
    if differs and built and name not in TAKES_THE_FILE:
        notes.append(
            f"AutoTokenizer makes a {name} of this folder, which may build rules of its own. With the tokenizer_class "
            "PreTrainedTokenizerFast in tokenizer_config.json it takes tokenizer.json as it is."
        )
    if beyond := sorted((number, text) for text, number in tokenizer.get_vocab().items() if number >= pieces):
        some, more = ", ".join(f"{number} {text!r}" for number, text in beyond[:5]), len(beyond) - 5
        notes.append(
            f"AutoTokenizer adds ids after the last piece, for which a model may have no row: {some}"
            + (f" and {more:,} more" if more > 0 else "")
        )
    return notes


def auto_agreement(
    folder: Path, reader: "Reader", texts: Mapping[str, Sequence[str]], fuzz: int, notes: list[str]
) -> Agreement | None:
    """Whether `AutoTokenizer` agrees with the reader on a sample; None and a note if it cannot open the folder.

    Texts that spell a special token are left out if it takes them for one.
    """
    from components.tokenizers.check.fuzz import random_strings
    from components.tokenizers.check.measure import Agreements, lines_of
    from components.tokenizers.check.readers.auto_reader import load_auto, slow_reader
    from components.tokenizers.check.readers.reader import brief

    if reader.file == "AutoTokenizer":
        return None
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer_config.json")):
        notes.append(f"AutoTokenizer was not asked: from {reader.file} alone it would have to guess the rules.")
        return None
    try:
        tokenizer = load_auto(folder)
    except Exception as error:  # noqa: BLE001  (any of a hundred classes' errors)
        notes.append(f"AutoTokenizer does not open this folder: {brief(error)}")
        return None
    lines = [line for group in texts.values() for line in lines_of(group)[:AUTO_LINES]]
    lines += random_strings(min(fuzz, AUTO_LINES), reader.inventory)
    if not getattr(tokenizer, "split_special_tokens", False):
        spelled = list(map(str, tokenizer.all_special_tokens)) + list(map(str, tokenizer.get_added_vocab()))
        lines = [line for line in lines if not any(name in line for name in spelled)]
    agreement = Agreements("AutoTokenizer", slow_reader(tokenizer))
    rows = reader.encode(lines)
    agreement.add(lines, rows, reader.decode(rows))
    notes += auto_words(tokenizer, reader.pieces, differs=agreement.different > 0, built=(folder / "tokenizer.json").exists())
    return agreement.facts()
