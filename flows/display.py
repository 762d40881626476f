"""Shows the lines of a stage: as a bar on a terminal, or as plain lines in a log."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from components.ranks.progress import Progress as Step
from components.ranks.progress import read_progress
from infra.journal import JOB_MARK

LOG_INTERVAL_SECONDS = 5.0


class Display:
    """Prints what stages say. On a terminal a progress line moves a bar; elsewhere it is printed every few seconds."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.printed = 0.0

    def __enter__(self) -> "Display":
        """Starts the bar if there is a terminal."""
        if sys.stdout.isatty():
            stage, text = TextColumn("{task.description:>10}"), TextColumn("{task.fields[text]}")
            self.bar = Progress(stage, BarColumn(), text, TimeElapsedColumn(), console=self.console, transient=True)
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Removes the bar."""
        if self.bar is not None:
            self.bar.stop()

    def begin(self, stage: str) -> None:
        """Opens a stage."""
        self.printed = 0.0
        if self.bar is not None:
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task = self.bar.add_task(stage, total=None, text="")

    def line(self, stage: str, text: str) -> None:
        """Shows one line of a stage. A marked line about a job's state is skipped: a plain line has said the same."""
        if text.startswith(JOB_MARK):
            return
        step = read_progress(text)
        if step is None:
            self.console.print(f"{stage:>10} │ {text}", markup=False)
            return
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=step.done, total=step.total, text=step.text)
        elif self.due(step):
            self.console.print(f"{stage:>10} │ {step.done:,}/{step.total:,} {step.text}", markup=False)

    def due(self, step: Step) -> bool:
        """True for the last step, and every few seconds."""
        now = time.monotonic()
        if step.done < step.total and now - self.printed < LOG_INTERVAL_SECONDS:
            return False
        self.printed = now
        return True

    def end(self, stage: str, outcome: str, seconds: float) -> None:
        """Closes a stage with its outcome."""
        self.console.print(f"{stage:>10} ● {outcome} ({seconds:.1f} s)", markup=False)
