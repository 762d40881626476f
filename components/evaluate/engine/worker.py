"""One rank of an evaluation, started with `python -m`: makes its slice of the measurements.

The ranks need not talk to each other: each divides all measurements in the same way, takes its slice, and writes a file for
each measurement. A rank that is asked to stop does so after the current batch.
"""

import sys
from collections.abc import Sequence

from components.evaluate.engine.device_assignment import assign_devices, largest_weights
from components.evaluate.engine.progress import EvaluationProgress
from components.evaluate.engine.rank_slice import deal
from components.evaluate.engine.request import EvaluationRequest
from components.ranks.main import Rank, end_process, run_rank
from components.ranks.outcome import Outcome


def main(arguments: Sequence[str]) -> int:
    """Runs the rank; returns the exit code."""
    return run_rank(EvaluationRequest, arguments, work)


def work(request: EvaluationRequest, rank: Rank) -> Outcome | None:
    """Measures this rank's slice; the last rank that finishes returns the outcome for all. Raises `Stopped`."""
    measure_slice(request, rank)
    return Outcome(finished=True, signal=None) if request.is_done() else None


def measure_slice(request: EvaluationRequest, rank: Rank) -> None:
    """Makes the measurements that are left of this rank's slice. Raises `Stopped`."""
    left = request.left()
    if not left:
        return
    from components.evaluate.engine.measure import measure, seen_gpus  # torch takes seconds

    assignment = assign_devices(rank.place, seen_gpus(), largest_weights(request.models.values()))
    if assignment is None:
        return
    wanted = [each for each in deal(request.measurements, assignment.assignments)[assignment.number] if each in left]
    if wanted:
        measure(request, wanted, assignment.devices, EvaluationProgress(request, rank))


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
