"""Evaluates two tiny models in a folder, as the stage does.

`python -m tests.support.ranks.evaluating INPUTS FOLDER` is a stage's process, which starts ranks of its own. It imports
as little as a stage does.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.base.ports import Launcher
from components.evaluate.contract import EvaluateReport
from components.evaluate.lm_eval import LMEvaluator
from components.recipes import read_parameters
from infra.local import LocalProcesses
from infra.processes import die_with_parent
from tests.support.fakes import SITE, FakeJournal, make_context

SMOKE = read_parameters(Path("recipes/smoke.yaml")).values["evaluate"]
SETTINGS = SMOKE | {"maximum_length": 2048, "heldout_characters": 1000}


def evaluate(
    inputs: Path, folder: Path, launcher: Launcher, *, batch_size: int = 4, processes: int = 1, **changes: Any
) -> tuple[EvaluateReport, Path, FakeJournal]:
    """The report, the output folder and the journal of one evaluation with the smoke recipe's parameters."""
    journal = FakeJournal(folder)
    site = replace(SITE, evaluate_batch_size=batch_size, evaluate_processes=processes)
    context = make_context(folder, journal=journal, site=site, launcher=launcher)
    evaluator = LMEvaluator.model_validate(SETTINGS | changes)
    output = folder / "output"
    report = evaluator.run(context, inputs / "model", inputs / "base", inputs / "text", output)
    return report, output, journal


if __name__ == "__main__":
    die_with_parent()
    evaluate(Path(sys.argv[1]), Path(sys.argv[2]), LocalProcesses(Path(sys.argv[2]) / "logs", threads=1), processes=2)
    sys.stdout.write("torch was imported\n" if "torch" in sys.modules else "no torch\n")
