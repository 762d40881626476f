"""`martlet tokenizer check`: measures a tokenizer, prints tables and writes files into a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.errors import ParameterError
from components.ranks.progress import Progress
from components.tokenizers.check.facts import Check
from components.tokenizers.check.run import check_tokenizer, write_check
from components.tokenizers.check.tables import PASSED, ending, printable, tables
from components.tokenizers.check.texts import read_domains
from flows.display import Display

LOG_WIDTH = 100
COLOURS = {PASSED[True]: "green", PASSED[False]: "bold red", PASSED[None]: "dim"}


@dataclass(frozen=True)
class TokenizerCheckRequest:
    """The arguments of the command."""

    path: Path
    base: Path | None
    texts: Sequence[str]
    fuzz: int
    output: Path | None
    limit: int


def check_tokenizer_folder(asked: TokenizerCheckRequest) -> bool:
    """Measures, prints, writes; True if no check failed. Raises a `MartletError` for errors that a user can repair."""
    domains, notes = read_domains(named(asked.texts), asked.limit) if asked.texts else (None, [])
    with Display() as display:
        display.begin("check")

        def progress(done: int, total: int, text: str) -> None:
            display.line("check", Progress(done, total, text).line())

        check = check_tokenizer(asked.path, base=asked.base, domains=domains, fuzz=asked.fuzz, progress=progress)
    check = check.model_copy(update={"notes": [*notes, *check.notes]})
    if asked.output is not None:
        write_check(check, asked.output)
    show(check, asked.output)
    return not check.failed


def named(texts: Sequence[str]) -> dict[str, Path]:
    """The NAME=PATH of each option. Raises `ParameterError` if one has another form, or a name comes twice."""
    found: dict[str, Path] = {}
    for words in texts:
        name, sign, path = words.partition("=")
        if not (name and sign and path):
            raise ParameterError(f"--text {words}: NAME=PATH was expected, such as --text news=news.jsonl.gz.")
        if name in found:
            raise ParameterError(f"--text {words}: {name!r} is named twice. Give each text a name of its own.")
        found[name] = Path(path)
    return found


def show(check: Check, output: Path | None) -> None:
    """Prints the tables, the notes, and two lines with the verdict."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    for table in tables(check):
        drawn = Table(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False)
        for number, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if number and table.numbers else "left", overflow="fold")
        for row in table.rows:
            drawn.add_row(*(Text(printable(cell), COLOURS.get(cell, "")) for cell in row))
        console.print(drawn, "")
    for note in check.notes:
        console.print(f"note: {printable(note)}", markup=False, soft_wrap=True)
    if output is not None:
        console.print(f"written: {output}/check.json, check.md, check.png", markup=False, soft_wrap=True)
    for line in ending(check):
        console.print(line, markup=False, soft_wrap=True)
