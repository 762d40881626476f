"""Runs a tiny training that is interrupted again and again, each time at another moment, until it is done.

`python -m tests.support.ranks.interrupted_training INPUTS RUN SEED` prints what it did, as JSON. The ranks are
forked from this process.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import WorkerFailed
from tests.support.builders.tiny_training import trainer
from tests.support.fakes import NoJobs, make_context
from tests.support.ranks.forked_ranks import Launch, fork, warm_up

INTERRUPTIONS = ("KILL one", "TERM", "KILL all, saving", "USR2", "KILL all", "KILL one, saving", "KILL all", "USR1")
"""A signal, to one rank or all, after a random moment; or, "saving", while a checkpoint is being written."""
EVERY_STEPS = 2


class InterruptedRanks(NoJobs):
    """Satisfies `components.base.ports.Launcher`: runs the worker itself in forked processes, and may interrupt them."""

    def __init__(self, run: Path, seed: int) -> None:
        self.run_folder, self.random = run, random.Random(seed)
        self.plan = list(INTERRUPTIONS)
        self.done: list[tuple[str, int, bool]] = []
        self.launches = 0

    def run(
        self, module: str, arguments: Sequence[str], *, processes: int, environment: Mapping[str, str],
        outcome: Path | None = None,
    ) -> None:
        """Starts the ranks, interrupts them if the plan says so, and waits for all."""
        assert outcome is not None
        outcome.unlink(missing_ok=True)
        self.launches += 1
        rendezvous = (self.run_folder / f"rendezvous-{self.launches}").as_uri()
        variables = {**environment, "MARTLET_RENDEZVOUS": rendezvous}
        launch = Launch(module, list(arguments), variables, str(self.run_folder), processes)
        ranks = [fork(launch, rank) for rank in range(processes)]
        if self.plan:
            self.interrupt(ranks)
        codes = [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]
        if any(codes):
            raise WorkerFailed(f"ranks ended with {codes}")

    def interrupt(self, ranks: Sequence[int]) -> None:
        """Waits for a step that is still to come, then a moment more, and sends the next signal of the plan."""
        word, _, whom = self.plan[0].partition(" ")
        goal = self.steps() + 1
        until = time.monotonic() + 60
        while self.steps() < goal or ("saving" in whom and not self.saving()):
            if any(Path(f"/proc/{rank}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z" for rank in ranks):
                return
            assert time.monotonic() < until, "no step in a minute"
            time.sleep(0.0005)
        if "saving" not in whom:
            time.sleep(self.random.uniform(0, 1) * self.step_seconds())  # the moment itself is what is varied
        saving = self.saving()
        for rank in [self.random.choice(ranks)] if whom.startswith("one") else ranks:
            os.kill(rank, signal.Signals[f"SIG{word}"])
        self.done.append((self.plan.pop(0), self.steps(), saving))

    def saving(self) -> bool:
        """Whether a checkpoint is being written."""
        return any((self.run_folder / "scratch/checkpoints").glob(".saving-*"))

    def step_seconds(self) -> float:
        """How long the last step took."""
        return float(json.loads((self.run_folder / "metrics.jsonl").read_bytes().split(b"\n")[-2])["step_seconds"])

    def steps(self) -> int:
        """How many lines of metrics there are."""
        path = self.run_folder / "metrics.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0


def main(inputs: Path, run: Path, seed: int) -> None:
    """Trains until it is done."""
    launcher = InterruptedRanks(run, seed)
    run.mkdir(parents=True, exist_ok=True)
    ends: list[dict[str, Any]] = []
    while True:
        context = make_context(run, launcher=launcher)
        component = trainer(checkpoint_every_steps=EVERY_STEPS)
        try:
            component.run(context, model=inputs / "model", tokens=inputs / "tokens", output=run / "output")
            break
        except WorkerFailed as error:
            saved = sorted(path.parent.name for path in run.glob("scratch/checkpoints/step-*/manifest.json"))
            ends.append({"words": str(error), "steps": launcher.steps(), "saved": saved})
            if len(ends) > 2 * len(INTERRUPTIONS):
                raise
    warnings = [line for line in (run / "rank-0.log").read_text().splitlines() if "came out differently" in line]
    sys.stdout.write(json.dumps({"interruptions": launcher.done, "ends": ends, "warnings": warnings}) + "\n")


if __name__ == "__main__":
    warm_up()
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
