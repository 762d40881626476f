"""Draws task scores and bits per byte as paired bars; the same scores give the same bytes."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from components.formats.scores import BASE, TRAINED, Scores

BARS = ((BASE, "base", "#9aa5b1"), (TRAINED, "trained", "#1f5fa8"))
WIDTH = 0.38
STYLE = {
    # a user's matplotlibrc must not change the picture
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_scores(scores: Scores, path: Path) -> None:
    """Writes the PNG, with 150 dots per inch and without metadata."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        count = max(len(scores.tasks), 1), max(len(scores.text), 1)
        figure = Figure(figsize=(3.2 + 1.25 * sum(count), 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[count[0] + 0.4, count[1] + 0.4])
        draw_tasks(left, scores)
        draw_text(right, scores)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
        figure.savefig(path, dpi=150, format="png", metadata={"Software": None})


def draw_tasks(axes: Any, scores: Scores) -> None:
    """Draws task scores with their standard errors; the axis always runs from 0 to 1."""
    for number, (model, label, colour) in enumerate(BARS):
        places = [x + (number - 0.5) * WIDTH for x in range(len(scores.tasks))]
        values = [task.scores[model].value for task in scores.tasks]
        errors = [task.scores[model].standard_error or 0.0 for task in scores.tasks]
        axes.bar(places, values, WIDTH, color=colour, label=label, yerr=errors, ecolor="#444444", capsize=2.5)
        for place, value, error in zip(places, values, errors, strict=True):
            note(axes, place, value + error, f"{value:.2f}")
    names = [f"{task.name}\n{task.metric}, {task.shots}-shot, n={task.items}" for task in scores.tasks]
    finish(axes, names, "Benchmarks: score, higher is better", "score (0–1)")
    axes.set_ylim(0, 1.08)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def draw_text(axes: Any, scores: Scores) -> None:
    """Draws bits per byte of each language's held-out text."""
    highest = max(value for text in scores.text for value in text.bits_per_byte.values())
    for number, (model, _, colour) in enumerate(BARS):
        places = [x + (number - 0.5) * WIDTH for x in range(len(scores.text))]
        values = [text.bits_per_byte[model] for text in scores.text]
        axes.bar(places, values, WIDTH, color=colour)
        for place, value in zip(places, values, strict=True):
            note(axes, place, value, f"{value:.2f}")
    names = [f"{text.language}\n{text.bytes:,} bytes" for text in scores.text]
    finish(axes, names, "Held-out text: lower is better", "bits per byte")
    axes.set_ylim(0, highest * 1.15)


def note(axes: Any, place: float, height: float, text: str) -> None:
    """Writes a number just above a bar."""
    axes.annotate(text, (place, height), (0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=8.5)


def finish(axes: Any, names: list[str], title: str, unit: str) -> None:
    """Adds ticks, title, unit and grid."""
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", length=0, labelsize=8)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_title(title, loc="left", fontsize=10.5)
    axes.set_ylabel(unit)
    axes.yaxis.grid(visible=True, color="#e3e6ea")
    axes.set_axisbelow(True)
