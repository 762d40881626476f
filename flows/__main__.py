"""`python -m flows` is `martlet`."""

from flows.cli import main

main()
