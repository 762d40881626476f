"""Runs a benchmark by its name and prints its figures: what `make bench-NAME` calls.

A benchmark is a module with `figures`, which yields a dictionary for each figure, or a table as text. Standard output holds
only these, as JSON lines and tables; whatever else a benchmark prints goes to standard error. The exit code is 1 if a `pass`
is false. A mistake gives one message, as in `martlet` itself.
"""

import json
import os
import sys
from contextlib import redirect_stdout
from importlib import import_module

from components.errors import MartletError

NAMES = ("again", "checkpoints", "initialisations", "pack", "plan", "smollm2", "start", "tokenizer", "train", "vocabulary")


def main(arguments: list[str]) -> int:
    """Runs the benchmark that the first argument names, with the other arguments; returns the exit code."""
    name, *others = arguments or [""]
    if name not in NAMES:
        sys.exit(f"error: there is no benchmark {name!r}. Name one of: {', '.join(NAMES)}.")
    passed, output = True, sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            for figure in import_module(f"benchmarks.{name}").figures(*others):
                table = isinstance(figure, str)
                print(figure if table else json.dumps(figure, ensure_ascii=False), file=output, flush=True)
                passed &= table or figure.get("pass", True)
    except MartletError as error:
        sys.exit(f"error: {error}")
    return 0 if passed else 1


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main(sys.argv[1:]))
