"""The `martlet` command. Nothing heavy is imported before a command needs it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="martlet", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Continual pre-training as one reproducible line.",
)
tokenizer = typer.Typer(no_args_is_help=True, help="Look into a tokenizer.")
app.add_typer(tokenizer, name="tokenizer")
recipe = typer.Typer(no_args_is_help=True, help="Look into a recipe.")
app.add_typer(recipe, name="recipe")
RecipeName = Annotated[
    str, typer.Argument(help="a file of recipes/, without its suffix, such as smoke; left out: params.yaml", show_default=False)
]
Assignments = Annotated[list[str], typer.Option("--set", metavar="SECTION.KEY=VALUE", help="override a parameter")]
RunName = Annotated[str, typer.Argument(help="a run's id or its beginning; of a recipe's name, or params, its newest run")]
BaseTraining = Annotated[bool, typer.Option("--base", help="of the base model's training, train_base")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object instead of a table")]
Reference = Annotated[str, typer.Option("--ref", help="git commit, branch or tag; empty: the tree as it stands")]


@app.command()
def run(recipe: RecipeName = "params", values: Assignments = [], reference: Reference = "") -> None:  # noqa: B006  (typer)
    """Run the line: what is done stays done, what is missing is made."""
    from flows.commands.runs import run_line

    run_line(recipe, values, reference)


@app.command()
def plan(
    recipe: RecipeName = "params",
    values: Assignments = [],  # noqa: B006
    reference: Reference = "",
    on: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="as if the site had this: train_processes=128")] = [],  # noqa: B006
    measure: Annotated[bool, typer.Option("--measure", help="run a few training steps on this machine, and time them")] = False,
    script: Annotated[str, typer.Option(metavar="STAGE", help="print the batch script of this stage's job instead")] = "",
) -> None:
    """Show what a run would do, stage by stage, and what it would take; start nothing."""
    if script:
        from flows.commands.plan_jobs import script_of

        typer.echo(script_of(recipe, values, reference, on, script), nl=False)
        return
    from flows.commands.plan import show_plan

    show_plan(recipe, values, reference, on, measure=measure)


@app.command()
def status() -> None:
    """List the runs of this clone, newest first."""
    from flows.commands.runs import show_status

    show_status()


@app.command()
def pull(run: RunName) -> None:
    """Fetch a sealed run from the remote: its commits, its tag and all results; compute nothing."""
    from flows.commands.pull import pull_run

    pull_run(run)


@app.command()
def batch(
    run: RunName,
    step: Annotated[int, typer.Option(help="the step, from 0, as in losses.jsonl")],
    rank: Annotated[int | None, typer.Option(help="one rank's share only")] = None,
    base: BaseTraining = False,
    as_json: AsJson = False,
) -> None:
    """Show what a step of a run saw: for each sample its source, its documents and the beginning of its text."""
    from flows.commands.batch_tables import show_batch

    show_batch(run, "train_base" if base else "train", step, rank, as_json)


@app.command()
def find(
    run: RunName,
    document: Annotated[str, typer.Option(help="the document's id, as `martlet batch` prints it, or its URI")],
    base: BaseTraining = False,
    as_json: AsJson = False,
) -> None:
    """Show which steps of a run saw a document, and which part of it."""
    from flows.commands.batch_tables import show_document

    show_document(run, "train_base" if base else "train", document, as_json)


@app.command()
def ui(
    prefect_port: Annotated[int, typer.Option(help="port of the Prefect page")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="port of the MLflow page")] = 5000,
) -> None:
    """Start the Prefect page, the MLflow page and a worker on loopback, with a form that starts runs."""
    from flows.ui.serve import serve

    serve(Path.cwd(), prefect_port, mlflow_port)


@recipe.command()
def show(recipe: RecipeName = "params", values: Assignments = [], reference: Reference = "") -> None:  # noqa: B006
    """Print the whole parameter file that a run would have, with every block put in and every --set made."""
    from flows.commands.runs import whole_parameters

    typer.echo(whole_parameters(recipe, values, reference), nl=False)


@tokenizer.command()
def check(
    path: Annotated[Path, typer.Argument(help="a folder that holds a tokenizer, Martlet's or any other")],
    base: Annotated[Path | None, typer.Option(help="the tokenizer before it was enlarged")] = None,
    text: Annotated[list[str], typer.Option(metavar="NAME=PATH", help="text to measure on; may be given again")] = [],  # noqa: B006
    fuzz: Annotated[int, typer.Option(min=0, help="how many random strings to try")] = 10_000,
    output: Annotated[Path | None, typer.Option(help="a folder for check.json, check.md and check.png")] = None,
    limit: Annotated[int, typer.Option(min=1, help="characters of each text")] = 2_000_000,
) -> None:
    """Measure a tokenizer, compare it with its base, and say whether it can be trusted: exit code 1 if it cannot."""
    from flows.commands.tokenizers import TokenizerCheckRequest, check_tokenizer_folder

    if not check_tokenizer_folder(TokenizerCheckRequest(path, base, text, fuzz, output, limit)):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: one message and exit code 1 for errors that a user can repair, 130 for Ctrl-C."""
    from components.errors import chain_of
    from infra.servers.loopback import loopback_directly

    os.environ.update(loopback_directly(os.environ))  # for this process, and all that it starts
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if any(isinstance(each, KeyboardInterrupt) for each in chain_of(error)):
            sys.exit(130)  # if Ctrl-C comes between two tasks, Prefect raises errors of its own
        from components.formats.names import printable_lines
        from infra.disk import user_message
        from infra.settings import Settings

        message = user_message(error, Settings())
        if message is None:
            raise
        sys.exit(f"error: {printable_lines(message)}")
