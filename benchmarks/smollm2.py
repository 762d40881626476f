"""What SmolLM2-135M learnt in a run of `recipes/smollm2-135m-ja.yaml`: its curve, and bits per byte of text from elsewhere.

`make bench-smollm2` looks at the newest such run. The curve and its table are those of the held-out text that the trainer
measured with every checkpoint: other documents of the manuals that were trained on. Text from elsewhere is measured here, as in
`benchmarks.initialisations`, for the base, the enlarged model and the trained one: LibreOffice's help in both languages, and
excerpts of `MARTLET_DATA` (see `benchmarks.texts`) where it is set. Results are written to `.build/smollm2/`.
"""

import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.initialisations import HELDOUT_BYTES, beginnings, nats, size, windows
from benchmarks.texts import Texts, japanese, manuals
from components.train.metrics import HELDOUT, HELDOUT_BEFORE, read_lines
from infra.settings import Settings

OUTPUT = Path(".build/smollm2")
RECIPE = "smollm2-135m-ja"
MODELS = {"base": "train_base", "enlarged": "expand", "trained": "train"}
"""Names in the table, and the stages that left them."""
COLOURS = {"ja": "#b7282e", "en": "#1f5c99"}


def main() -> int:
    """Writes the curve, its table and, once the run has its model, the table of text from elsewhere; prints the tables."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    run = newest_run(Settings().runs)
    points = curve(read_lines(run / "journal/train.metrics.jsonl"))
    draw(points, OUTPUT / "curve.png")
    tables = {"curve.md": curve_table(points)}
    if (run / "artifacts/train/model.safetensors").exists():
        tables["elsewhere.md"] = elsewhere_table(elsewhere(run / "artifacts"))
    for name, text in tables.items():
        (OUTPUT / name).write_text(text, encoding="utf-8")
        print(text)
    return 0


def newest_run(runs: Path) -> Path:
    """The workspace whose training was last heard of."""
    files = runs.glob(f"{RECIPE}-*/journal/train.metrics.jsonl")
    newest = max(files, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        sys.exit(f"{runs} holds no run of {RECIPE} that began to train; start one with: martlet run {RECIPE}")
    return newest.parents[1]


def curve(lines: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    """Updates made, and bits per byte by language after them."""
    before = [(0, line[HELDOUT_BEFORE]) for line in lines if HELDOUT_BEFORE in line]
    return before + [(line["step"] + 1, line[HELDOUT]) for line in lines if HELDOUT in line]


def curve_table(points: Sequence[tuple[int, dict[str, float]]]) -> str:
    """Markdown: bits per byte by language after so many updates, and their change since the first."""
    lines = ["| updates | ja | en | ja, change | en, change |\n", "| ---: | ---: | ---: | ---: | ---: |\n"]
    start = points[0][1]
    for steps, bits in points:
        changes = [f"{bits[language] / start[language] - 1:+.1%}" for language in ("ja", "en")]
        lines.append(f"| {steps} | {bits['ja']:.3f} | {bits['en']:.3f} | {' | '.join(changes)} |\n")
    return "".join(lines)


def draw(points: Sequence[tuple[int, dict[str, float]]], path: Path) -> None:
    """Bits per byte over updates, a panel a language."""
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


def elsewhere(artifacts: Path) -> dict[str, dict[str, float]]:
    """Bits per byte of each model on each text."""
    import torch
    from transformers import AutoModelForCausalLM

    from components.formats.tokenizers import load_tokenizer

    parts = {name: beginnings(each, HELDOUT_BYTES[each.language]) for name, each in texts().items()}
    found: dict[str, dict[str, float]] = {}
    for name, stage in MODELS.items():
        folder = artifacts / stage
        tokenizer = load_tokenizer(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        found[name] = {
            text: nats(model, windows(tokenizer, part)) / math.log(2) / size(part) for text, part in parts.items()
        }
        print(f"{name}: {json.dumps(found[name])}", file=sys.stderr)
    return found


def texts() -> dict[str, Texts]:
    """Text that the recipe does not train on."""
    found = {
        "LibreOffice help, ja": manuals("ja", ("libreoffice-help-ja",)),
        "LibreOffice help, en": manuals("en", ("libreoffice-help-en-us",)),
    }
    return found | ({f"{(own := japanese()).source}, ja": own} if os.environ.get("MARTLET_DATA") else {})


def elsewhere_table(found: dict[str, dict[str, float]]) -> str:
    """Markdown: a row a text, a column a model, and the change from base to trained."""
    lines = [f"| text | {' | '.join(found)} | change |\n", f"| --- |{' ---: |' * (len(found) + 1)}\n"]
    for text in found["base"]:
        numbers = [f"{each[text]:.3f}" for each in found.values()]
        change = found["trained"][text] / found["base"][text] - 1
        lines.append(f"| {text} | {' | '.join(numbers)} | {change:+.1%} |\n")
    return "".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
