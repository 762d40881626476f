"""Prints what `flows.commands.batches` found, as tables or as JSON."""

import json
import sys
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.tokenizers.check.tables import printable
from flows.commands.batches import Findings, Sample, Stage, StepBatch, open_training

LOG_WIDTH = 140


def show_batch(run: str, stage: Stage, step: int, rank: int | None, as_json: bool) -> None:
    """Prints what a step saw."""
    batch = open_training(run, stage).batch(step, rank)
    if as_json:
        write_json(batch)
        return
    out = console()
    skipped = f", global batch {batch.batch:,}" if batch.batch != step else ""
    out.print(f"{batch.run}, {batch.stage}, step {step:,}{skipped}: {len(batch.samples):,} samples", soft_wrap=True)
    columns = ("rank", "place", "sample", "source", "tokens", "documents and their tokens", "begins with")
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for sample in batch.samples:
        table.add_row(
            str(sample.rank), str(sample.position), f"{sample.sample:,}", Text(f"{sample.source}\npass {sample.epoch}"),
            f"{sample.tokens:,}", documents(sample), Text(printable(" ".join(sample.text.split()))),
        )
    out.print(table)


def documents(sample: Sample) -> Text:
    """Each document with the numbers of its first and last token in this sample."""
    lines = (f"{span.document}  {span.first:,}–{span.first + span.tokens - 1:,}" for span in sample.spans)
    return Text("\n".join(printable(line) for line in lines))


def show_document(run: str, stage: Stage, document: str, as_json: bool) -> None:
    """Prints the steps that saw a document."""
    found = open_training(run, stage).find(document)
    if as_json:
        write_json(found)
        return
    out = console()
    out.print(headline(found), soft_wrap=True, markup=False)
    table = Table("step", "rank", "place", "sample", "source", "pass", "tokens", box=box.SIMPLE_HEAD)
    for seen in found.seen:
        tokens = f"{seen.first:,}–{seen.first + seen.tokens - 1:,}"
        cells = (seen.step, seen.rank, seen.position, seen.sample)
        table.add_row(*(f"{cell:,}" for cell in cells), Text(seen.source), str(seen.epoch), tokens)
    if found.seen:
        out.print(table)


def headline(found: Findings) -> str:
    """How often the document is seen, in how many passes."""
    steps, passes = len({seen.step for seen in found.seen}), len({(seen.source, seen.epoch) for seen in found.seen})
    often = f"seen by {steps:,} of the {found.steps:,} steps"
    if passes:
        often += f", in {passes:,} pass{'' if passes == 1 else 'es'}"
    return f"{found.run}, {found.stage}: document {printable(found.document)}, {found.tokens:,} tokens, {often}"


def console() -> Console:
    """A console that does not fold tables more than a log needs."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = LOG_WIDTH
    return out


def write_json(found: StepBatch | Findings) -> None:
    """Prints everything as one JSON object."""
    sys.stdout.write(json.dumps(asdict(found), indent=2, ensure_ascii=False) + "\n")
