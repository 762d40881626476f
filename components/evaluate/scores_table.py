"""Writes scores as a page of Markdown: base and trained model side by side, with shots, items and the change."""

from components.formats.scores import BASE, TRAINED, Scores, TaskScore, TextScore

PAGE = """\
# Scores

Base model and trained model on the same items and the same text. Task scores run from 0 to 1, higher is better;
± is the standard error of the mean over the items. Bits per byte are the cost of held-out text, lower is better, and
compare across tokenizers.

{tasks}

{text}

{settings}
"""


def render_table(scores: Scores) -> str:
    """The whole of `scores.md`."""
    return PAGE.format(tasks=tasks_table(scores), text=text_table(scores), settings=settings_line(scores))


def tasks_table(scores: Scores) -> str:
    """A column for each task and a row for each model: the layout of Swallow's announcement, with its row of shots."""
    rows = [
        ["", *(task.name for task in scores.tasks)],
        ["---", *("---:" for _ in scores.tasks)],
        ["language", *(task.language for task in scores.tasks)],
        ["metric", *(task.metric for task in scores.tasks)],
        ["shots", *(f"{task.shots}-shot" for task in scores.tasks)],
        ["items", *(f"{task.items:,}" for task in scores.tasks)],
        ["base", *(cell(task, BASE) for task in scores.tasks)],
        ["trained", *(cell(task, TRAINED) for task in scores.tasks)],
        ["Δ", *(f"{task.scores[TRAINED].value - task.scores[BASE].value:+.4f}" for task in scores.tasks)],
    ]
    return table(rows)


def text_table(scores: Scores) -> str:
    """A row for each language's held-out text."""
    rows = [
        ["held-out text", "characters", "bytes", "base, bits per byte", "trained, bits per byte", "Δ"],
        ["---", *(["---:"] * 5)],
        *(text_row(text) for text in scores.text),
    ]
    return table(rows)


def text_row(text: TextScore) -> list[str]:
    """The row of one language."""
    base, trained = text.bits_per_byte[BASE], text.bits_per_byte[TRAINED]
    numbers = [f"{text.characters:,}", f"{text.bytes:,}", f"{base:.4f}", f"{trained:.4f}", f"{trained - base:+.4f}"]
    return [text.language, *numbers]


def cell(task: TaskScore, model: str) -> str:
    """A score, with its standard error if there is one."""
    score = task.scores[model]
    error = f" ± {score.standard_error:.4f}" if score.standard_error is not None else ""
    return f"{score.value:.4f}{error}"


def settings_line(scores: Scores) -> str:
    """How the scores were measured, and which prompts were cut."""
    bos = "BOS before the prompt" if scores.add_bos_token else "no BOS before the prompt"
    versions = ", ".join(f"{name} {number}" for name, number in scores.versions.items())
    dtype = " and ".join(sorted(set(scores.dtype.values())))
    line = f"Prompts of at most {scores.maximum_length:,} tokens, {bos}, greedy decoding, {dtype} on {scores.device}."
    cut = [f"{s.truncated} of {t.name} ({model})" for t in scores.tasks for model, s in t.scores.items() if s.truncated]
    return f"{line} Prompts that lost their beginning: {', '.join(cut) or 'none'}. {versions}."


def table(rows: list[list[str]]) -> str:
    """The rows as a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
