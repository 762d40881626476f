"""A call's file in, the results of one rank's share out: one rank of an evaluation, started with `python -m`.

The ranks need not meet: each deals all measurements in the same way, takes its share, and leaves a file as each is made.
SIGTERM, SIGUSR1 and SIGUSR2 mean: leave after this batch. Exit code 0 then, and an outcome that says so.
"""

import os
import sys
from pathlib import Path

from components.errors import InputError, MartletError
from components.evaluate.engine.device_assignment import assign_devices, largest_weights
from components.evaluate.engine.progress import Watch
from components.evaluate.engine.rank_slice import deal
from components.evaluate.engine.request import EvaluationRequest
from components.ranks.outcome import Outcome, write_refusal
from components.ranks.signals import Signals, Stopped


def main(arguments: list[str]) -> int:
    """Runs one rank; returns the exit code."""
    signals = Signals()
    call = EvaluationRequest.model_validate_json(Path(arguments[0]).read_bytes())
    watch = Watch(call, signals)
    try:
        measure_share(call, watch)
    except MartletError as error:
        if isinstance(error, InputError):
            write_refusal(call.refusal, error)
        sys.stderr.write(f"{error}\n")
        return 1
    except Stopped:
        Outcome(finished=False, signal=signals.came).write(call.outcome)
    else:
        if not call.left():  # the last one speaks for all
            Outcome(finished=True, signal=None).write(call.outcome)
    return 0


def measure_share(call: EvaluationRequest, watch: Watch) -> None:
    """What is left of this rank's share. Raises `Stopped`."""
    left = call.left()
    if not left:
        return
    from components.evaluate.engine.measure import measure, seen_gpus  # torch takes seconds

    assignment = assign_devices(watch.place, seen_gpus(), largest_weights(call.models.values()))
    share = deal(call.measurements, assignment.assignments)[assignment.number] if assignment else []
    if assignment and (wanted := [each for each in share if each in left]):
        measure(call, wanted, assignment.devices, watch)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # done: the interpreter's own way out unloads torch for a second
    os._exit(code) if code == 0 else sys.exit(code)
