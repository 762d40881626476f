"""What SmolLM2-135M learnt in a run of `recipes/smollm2-135m-ja.yaml`: its curve, and bits per byte of text from elsewhere.

`make bench-smollm2` looks at the newest such run. The curve and its table show the held-out text that the trainer measured with
every checkpoint: other documents of the manuals that were trained on. The base, the enlarged and the trained model are measured
here as in `benchmarks.initialisations`, on the beginnings of documents in random order: held-out ones, LibreOffice's help in
both languages, which is not trained on, and the text of `MARTLET_DATA` (`benchmarks.texts`) if it is set. Results are written
to `.build/smollm2/<run>/`, and a model that has a result already is not measured again.
"""

import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.initialisations import HELDOUT_BYTES, beginnings, nats, size, windows
from benchmarks.texts import Texts, japanese, manuals
from components.data.documents import heldout_file, read_documents
from components.train.metrics import HELDOUT, HELDOUT_BEFORE, read_lines
from infra.settings import Settings

OUTPUT = Path(".build/smollm2")
RECIPE = "smollm2-135m-ja"
MODELS = {"base": "train_base", "enlarged": "expand", "trained": "train"}
"""The models' names in the table, and the stages that wrote them."""
COLOURS = {"ja": "#b7282e", "en": "#1f5c99"}


def figures() -> Iterator[str]:
    """Writes the curve, its table and the table of the models that exist so far; gives the tables."""
    run = newest_run(Settings().runs)
    output = OUTPUT / run.name
    output.mkdir(parents=True, exist_ok=True)
    points = curve(read_lines(run / "journal/train.metrics.jsonl"))
    draw(points, output / "curve.png")
    for name, text in {"curve.md": curve_table(points), "models.md": models_table(measured(run / "artifacts", output))}.items():
        (output / name).write_text(text, encoding="utf-8")
        yield text


def newest_run(runs: Path) -> Path:
    """The workspace whose training wrote metrics last."""
    files = runs.glob(f"{RECIPE}-*/journal/train.metrics.jsonl")
    newest = max(files, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        sys.exit(f"{runs} holds no run of {RECIPE} that began to train; start one with: martlet run {RECIPE}")
    return newest.parents[1]


def curve(lines: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    """Numbers of updates, and bits per byte by language after each."""
    before = [(0, line[HELDOUT_BEFORE]) for line in lines if HELDOUT_BEFORE in line]
    return before + [(line["step"] + 1, line[HELDOUT]) for line in lines if HELDOUT in line]


def curve_table(points: Sequence[tuple[int, dict[str, float]]]) -> str:
    """Markdown: bits per byte by language after each number of updates, and their change since the first."""
    lines = ["| updates | ja | en | ja, change | en, change |\n", "| ---: | ---: | ---: | ---: | ---: |\n"]
    start = points[0][1]
    for steps, bits in points:
        changes = [f"{bits[language] / start[language] - 1:+.1%}" for language in ("ja", "en")]
        lines.append(f"| {steps} | {bits['ja']:.3f} | {bits['en']:.3f} | {' | '.join(changes)} |\n")
    return "".join(lines)


def draw(points: Sequence[tuple[int, dict[str, float]]], path: Path) -> None:
    """Draws bits per byte over updates, with a panel for each language."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for axis, (language, title) in zip(axes, (("ja", "Japanese"), ("en", "English")), strict=True):
        axis.plot([steps for steps, _ in points], [bits[language] for _, bits in points], marker="o", markersize=3,
                  color=COLOURS[language])
        axis.axhline(points[0][1][language], color="0.6", linewidth=1, linestyle="--")
        axis.set(title=f"bits per byte of held-out {title}", xlabel="updates of 1,024 tokens")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def measured(artifacts: Path, output: Path) -> dict[str, dict[str, float]]:
    """Bits per byte of each text, for each model that the run has so far."""
    found: dict[str, dict[str, float]] = {}
    parts: dict[str, list[str]] = {}
    for name, stage in MODELS.items():
        path = output / f"{name}.json"
        if not path.exists() and (artifacts / stage / "model.safetensors").exists():
            parts = parts or texts(artifacts / "clean")
            path.write_text(json.dumps(bits_of(artifacts / stage, parts), indent=1), encoding="utf-8")
        if path.exists():
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def bits_of(folder: Path, parts: dict[str, list[str]]) -> dict[str, float]:
    """One model's bits per byte of each text."""
    import torch
    from transformers import AutoModelForCausalLM

    from components.tokenizers.load import load_tokenizer

    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return {text: nats(model, windows(tokenizer, part)) / math.log(2) / size(part) for text, part in parts.items()}


def texts(clean: Path) -> dict[str, list[str]]:
    """The beginnings of the run's held-out documents, and of documents from elsewhere."""
    found = {
        f"held-out manuals, {language}": Texts(language, "manuals", [], [
            document.text for document in read_documents(heldout_file(clean, language))
        ])
        for language in ("ja", "en")
    } | {
        "LibreOffice's help, ja": manuals("ja", ("libreoffice-help-ja",)),
        "LibreOffice's help, en": manuals("en", ("libreoffice-help-en-us",)),
    }
    if os.environ.get("MARTLET_DATA"):
        found["Aozora Bunko, ja"] = japanese()
    return {name: beginnings(each, HELDOUT_BYTES[each.language]) for name, each in found.items()}


def models_table(found: dict[str, dict[str, float]]) -> str:
    """Markdown: a row for each text, a column for each model, and the last model's change from the base."""
    lines = [f"| text | {' | '.join(found)} | change |\n", f"| --- |{' ---: |' * (len(found) + 1)}\n"]
    last = list(found.values())[-1]
    for text, base in found["base"].items():
        numbers = [f"{each[text]:.3f}" for each in found.values()]
        lines.append(f"| {text} | {' | '.join(numbers)} | {last[text] / base - 1:+.1%} |\n")
    return "".join(lines)
