"""Checks every promise about an expanded vocabulary: Mistral's, enlarged to 42,800 pieces on real Japanese.

`make bench-vocabulary` prints one JSON line for each promise; the exit code is 1 if one is broken. The model is left in
`.build/vocabulary/enlarged`: look at it with `martlet tokenizer check .build/vocabulary/enlarged`. With `MARTLET_DATA` (see
`benchmarks.texts`) the text is Aozora Bunko, which has the 3,208 kanji of Swallow's announcement, and the smoke run's manuals;
without it, manuals alone, which have fewer kanji. A third of a manual's characters stand on lines without any Japanese, which
no new piece makes shorter: the goal is for the Japanese lines, and the ratio of whole pages is printed as well.
"""

import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from benchmarks.texts import Texts, english, japanese, smoke, write_clean
from benchmarks.tokenizer import mistral_tokenizer
from components.expand.expansion import Expansion
from components.expand.growth import Growth
from components.expand.vocabulary.base import vocabulary_of
from components.tokenizers.check.facts import Check
from components.tokenizers.check.run import check_tokenizer, write_check
from components.tokenizers.conversion import write_fast_tokenizer
from components.tokenizers.japanese_scripts import JAPANESE
from components.tokenizers.load import load_tokenizer
from components.tokenizers.sentencepiece import SPACE
from infra.journal import LineJournal

FOLDER = Path(".build/vocabulary")
PIECES = 42_800
BEFORE = {"hiragana": 58, "katakana": 76, "kanji": 1456}
ANNOUNCED = {"hiragana": 83, "katakana": 87, "kanji": 3208}
"""The announcement of Swallow-MS 7b, 2024-03-11."""
MANUALS = ANNOUNCED | {"kanji": 1750}
RATIO_GOAL = 0.62
HELD_OUT, PAGES = "Japanese lines, held out: ", "Japanese pages, held out: "
MOSTLY = 0.5
"""The share of a line's characters that must be Japanese."""
FUZZED, AT_ONCE = 100_000, 50


def figures() -> Iterator[dict[str, Any]]:
    """Builds the vocabulary anew; gives what was found for each promise."""
    ja, en = (japanese(), smoke()) if os.environ.get("MARTLET_DATA") else (japanese(),), english()
    targets = ANNOUNCED if len(ja) > 1 else MANUALS
    shutil.rmtree(FOLDER, ignore_errors=True)
    clock = time.perf_counter()
    growth = Growth.model_validate({
        "pieces": PIECES, "multiple_of": 8, "padding_rows": 0, "base_padding_rows": 0,
        "text": [{"text": "ja/*", "weight": 1.0}], "maximum_characters": 20_000_000, "segmentation": None,
        "trained_pieces": 16_000, "character_coverage": 0.9997, "characters": targets,
        "initialise": {"kind": "mean_of_subpieces"}, "seed": 1234,
    })
    base, clean = write_base(FOLDER / "base"), write_clean(FOLDER / "clean", *ja, en)
    Expansion(growth, vocabulary_of(base), LineJournal(FOLDER / "metrics.jsonl")).run(base, clean, FOLDER / "enlarged")
    seconds = time.perf_counter() - clock
    check = checked(base, ja, en)
    promises = [*vocabulary_promises(check, targets), *text_promises(check), *string_promises(check)]
    source = " and ".join(each.source for each in ja)
    for name, found, goal, kept in promises:
        yield {"bench": f"vocabulary-{name}", "ours": found, "goal": goal, "pass": kept, "text": source}
    for domain in check.domains:
        if domain.name.startswith(PAGES):
            yield {"bench": f"vocabulary-tokens-ratio, {domain.name}", "ours": domain.ratio}
    characters = sum(each.characters for each in ja)
    yield {"bench": "vocabulary-seconds", "ours": round(seconds, 1), "characters": characters}


def write_base(folder: Path) -> Path:
    """Writes Mistral's tokenizer with a model that is small except for its vocabulary."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(1)
    config = MistralConfig(
        vocab_size=32_000, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=4096,
    )
    MistralForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    shutil.copyfile(mistral_tokenizer() / "tokenizer.model", folder / "tokenizer.model")
    write_fast_tokenizer(folder, 4096)
    return folder


def checked(base: Path, ja: tuple[Texts, ...], en: Texts) -> Check:
    """Checks the enlarged folder on all the text."""
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    domains = {
        "Japanese, trained on": [text for each in ja for text in each.train],
        **{f"{HELD_OUT}{each.source}": [*japanese_lines(each.heldout)] for each in ja},
        **{f"{PAGES}{each.source}": each.heldout for each in ja}, "English": [*en.train, *en.heldout],
        "code": [path.read_text(encoding="utf-8") for path in library],
    }
    report = LineJournal(FOLDER / "metrics.jsonl").progress if sys.stderr.isatty() else (lambda *_: None)
    check = check_tokenizer(FOLDER / "enlarged", base=base, domains=domains, fuzz=FUZZED, progress=report)
    write_check(check, FOLDER / "check")
    return check


Promise = tuple[str, Any, str, bool]
"""The name, what was found, the goal in words, and whether it is met."""


def vocabulary_promises(check: Check, targets: dict[str, int]) -> list[Promise]:
    """The promises about sizes, characters and reach."""
    before, after = check.characters_before, check.characters_after.in_pieces
    assert before
    assert check.reach_new
    unreachable = check.reach_new.unreachable
    return [
        ("pieces", check.after.pieces, f"= {PIECES}", check.after.pieces == PIECES),
        ("characters-before", before.in_pieces, f"= {BEFORE}", before.in_pieces == BEFORE),
        ("characters-after", after, f"= {targets}", after == targets),
        ("unreachable-pieces", unreachable, "= 0", unreachable == 0),
    ]


def text_promises(check: Check) -> list[Promise]:
    """The promises about tokens per character, unchanged lines, round trips and agreement over every line."""
    domains = {domain.name: domain for domain in check.domains}
    promises: list[Promise] = [
        (f"tokens-ratio, {name}", domain.ratio, f"<= {RATIO_GOAL}", (domain.ratio or 1) <= RATIO_GOAL)
        for name, domain in domains.items() if name.startswith(HELD_OUT)
    ]
    for name in ("English", "code"):
        same, lines = domains[name].identical_latin_lines, domains[name].latin_lines
        promises.append((f"lines-unchanged-{name.lower()}", f"{same:,} of {lines:,}", "all", same == lines > 0))
    whole = [domain for domain in check.domains if not domain.name.startswith(HELD_OUT)]  # each line once
    lines = sum(domain.lines for domain in whole)
    lost = sum(domain.round_trip.failures for domain in whole)
    different = sum(agreement.different for domain in whole for agreement in domain.agreements)
    compared = sum(agreement.texts for domain in whole for agreement in domain.agreements)
    return [
        *promises, ("round-trip-lines", f"{lost} of {lines:,}", "0 differ", lost == 0),
        ("slow-fast-lines", f"{different} of {compared:,}", "0 differ", different == 0 < compared),
    ]


def japanese_lines(texts: list[str]) -> Iterator[str]:
    """The lines that are mostly Japanese."""
    lines = (line for text in texts for line in text.split("\n") if line.strip())
    return (line for line in lines if len(JAPANESE.findall(line)) >= MOSTLY * len(line))


def string_promises(check: Check) -> list[Promise]:
    """The promises about round trips and agreement over random strings: the check's own, and hypothesis's."""
    assert check.fuzz
    lost, different = check.fuzz.round_trip.failures, sum(each.different for each in check.fuzz.agreements)
    found = hypothesis_differences(FOLDER / "enlarged")
    return [
        ("fuzz", f"{lost} lost, {different} slow ≠ fast of {FUZZED:,}", "0", lost == different == 0),
        ("hypothesis", f"{found[0]} of {found[1]:,}", "0 differ", found[0] == 0 and found[1] >= FUZZED),
    ]


def hypothesis_differences(folder: Path) -> tuple[int, int]:
    """Of 100,000 strings by hypothesis, how many change on the round trip or are split differently by tokenizer.json."""
    from tokenizers import Tokenizer

    slow, fast = load_tokenizer(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    fast.encode_special_tokens = True
    counts = [0, 0]

    @seed(1234)
    @settings(max_examples=FUZZED // AT_ONCE, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=AT_ONCE, max_size=AT_ONCE))
    def compare(texts: list[str]) -> None:
        texts = [text.replace(SPACE, " ") for text in texts]  # the one character that SentencePiece cannot tell from a space
        ids = slow.encode_batch(texts)
        theirs = [encoding.ids for encoding in fast.encode_batch(texts, add_special_tokens=False)]
        for text, ours, other in zip(texts, ids, theirs, strict=True):
            counts[0] += ours != other or slow.decode(ours) != text or fast.decode(other) != text
        counts[1] += len(texts)

    compare()
    return counts[0], counts[1]
