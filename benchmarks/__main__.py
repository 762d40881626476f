"""A benchmark's name in, its figures out: what `make bench-NAME` calls. A mistake is one message, as in `martlet` itself."""

import sys
from importlib import import_module

from components.errors import MartletError

NAMES = ("again", "checkpoints", "initialisations", "pack", "plan", "smollm2", "tokenizer", "train", "vocabulary")


def main(arguments: list[str]) -> None:
    """Runs the benchmark that the first argument names, with the others as its own, and ends the program."""
    name, *others = arguments or [""]
    if name not in NAMES:
        sys.exit(f"error: there is no benchmark {name!r}. Name one of: {', '.join(NAMES)}.")
    try:
        sys.exit(import_module(f"benchmarks.{name}").main(*others))
    except MartletError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
