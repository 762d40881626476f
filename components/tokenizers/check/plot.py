"""Draws a `Check`: characters by script, and tokens per character by domain; equal checks give equal bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from components.tokenizers.check.facts import Check

BEFORE, AFTER = ("before", "#9aa5b1"), ("after", "#1f5fa8")
WIDTH = 0.38
TICKS = (1, 10, 100, 1_000, 10_000)
STYLE = {
    # a user's matplotlibrc must not change the picture
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}


def draw_check(check: Check, path: Path) -> None:
    """Writes the PNG, with 150 dots per inch and without metadata."""
    blocks = list(check.characters_after.in_pieces)
    names = [plain(domain.name) for domain in check.domains]
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(4.6 + 1.15 * max(len(names), 2), 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3.4, max(len(names), 2) + 0.4])
        before = check.characters_before
        draw(left, blocks, [
            [before.in_pieces[name] for name in blocks] if before else None,
            [check.characters_after.in_pieces[name] for name in blocks],
        ], "{:,.0f}")
        finish(left, "Different characters in the pieces", "characters (log)")
        left.set_yscale("symlog")
        left.set_ylim(0, 60_000)
        left.set_yticks([0, *TICKS], ["0", *(f"{tick:,}" for tick in TICKS)])
        old = [domain.before.tokens_per_character for domain in check.domains if domain.before]
        draw(right, names, [old or None, [domain.after.tokens_per_character for domain in check.domains]], "{:.2f}")
        finish(right, "Text: lower is shorter", "tokens per character")
        right.margins(y=0.12)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
        figure.savefig(path, dpi=150, format="png", metadata={"Software": None})


def draw(axes: Any, names: Sequence[str], sides: Sequence[Sequence[float] | None], form: str) -> None:
    """Draws bars: before and after side by side, or after alone."""
    present = [(values, style) for values, style in zip(sides, (BEFORE, AFTER), strict=True) if values is not None]
    for number, (values, (label, colour)) in enumerate(present):
        places = [x + (number - (len(present) - 1) / 2) * WIDTH for x in range(len(names))]
        axes.bar(places, values, WIDTH, color=colour, label=label)
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                form.format(value), (place, value), (0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=7.5
            )
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, max(len(names), 1) - 0.4)


def finish(axes: Any, title: str, unit: str) -> None:
    """Adds title, unit and grid."""
    axes.tick_params(axis="x", length=0, labelsize=8)
    axes.set_title(title, loc="left", fontsize=10.5)
    axes.set_ylabel(unit)
    axes.yaxis.grid(visible=True, color="#e3e6ea")
    axes.set_axisbelow(True)


def plain(name: str) -> str:
    """A domain's name in letters that the font has, shortened and broken at its first dash."""
    text = "".join(character if character.isascii() else "?" for character in name)
    return (text if len(text) <= 24 else text[:23] + "…").replace("-", "-\n", 1)
