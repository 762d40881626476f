"""A log gets plain lines: what a stage says at once, its progress every few seconds, the last step always."""

import io

from rich.console import Console

from flows.display import Display


def shown(*lines: str) -> str:
    display = Display()
    display.console = Console(file=io.StringIO(), width=200)
    display.begin("train")
    for line in lines:
        display.line("train", line)
    display.end("train", "ran", 1.5)
    assert isinstance(display.console.file, io.StringIO)
    return display.console.file.getvalue()


def test_plain_lines_are_printed_as_they_are_even_with_brackets() -> None:
    assert "train │ loss [bold]3[/bold]" in shown("loss [bold]3[/bold]")


def test_progress_is_thinned_out_but_its_last_step_is_shown() -> None:
    lines = [f'@progress {{"done": {n}, "total": 50, "text": "loss"}}' for n in range(1, 51)]
    text = shown(*lines)
    assert text.count("loss") == 2
    assert "50/50 loss" in text


def test_the_outcome_closes_a_stage() -> None:
    assert "train ● ran (1.5 s)" in shown()
