"""Calculates what a stage's jobs used, and to what effect: node-hours, GPU-hours, waiting, goodput and money.

Hours are those in which a job's script ran. A cluster's own bills may round them up, and add the time to set up nodes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.base.usage import Usage, significant
from components.formats.files import write_text
from components.formats.training_starts import Started, read_starts
from infra.scheduler.cluster_site import Allocation, ClusterSite
from infra.scheduler.records import Attempt, read_attempts, with_ends

SECONDS_AN_HOUR = 3600.0

Line = Mapping[str, Any]


def usage_of(
    attempts: Sequence[Attempt], starts: Sequence[Started], lines: Sequence[Line], allocation: Allocation, site: ClusterSite
) -> Usage:
    """All attempts must have ended. `starts` and `lines` are a training's own: its beginnings and its metrics, or none.

    Each attempt counts the nodes that it had, but all are taken to have had as many GPUs per node as `allocation` asks for now.
    """
    node_seconds = sum(len(attempt.nodes) * ((attempt.ended or attempt.began) - attempt.began) for attempt in attempts)
    node_hours = node_seconds / SECONDS_AN_HOUR
    gpu_hours = node_hours * allocation.gpus_per_node
    price = site.price_per_gpu_hour if gpu_hours else None
    return Usage(
        starts=len(attempts),
        node_hours=round(node_hours, 6),
        gpu_hours=round(gpu_hours, 6),
        queue_hours=round(sum(max(attempt.began - attempt.queued, 0.0) for attempt in attempts) / SECONDS_AN_HOUR, 6),
        goodput=goodput(attempts, starts, lines),
        mfu=mean_mfu(lines),
        cost=None if price is None else round(gpu_hours * price, 4),
        currency=None if price is None else site.currency,
    )


def goodput(attempts: Sequence[Attempt], starts: Sequence[Started], lines: Sequence[Line]) -> float | None:
    """Steps from the first start to the last one's end, over the steps that all starts computed; None if none did."""
    if not starts:
        return None
    ends = [*(start.time for start in starts[1:]), float("inf")]
    reached = [furthest(start, until, attempts, lines) for start, until in zip(starts, ends, strict=True)]
    computed = sum(end - start.step for start, end in zip(starts, reached, strict=True))
    return round((reached[-1] - starts[0].step) / computed, 6) if computed else None


def furthest(start: Started, until: float, attempts: Sequence[Attempt], lines: Sequence[Line]) -> int:
    """The number of updates after the last step that this start made before the next start began.

    A step that is computed again gets no second line of metrics: for such steps, the job's last progress line counts.
    """
    own: list[int] = [line["step"] + 1 for line in lines if start.time <= line["time"] / 1000 < until]
    own += [attempt.done for attempt in attempts if attempt.began <= start.time <= (attempt.ended or float("inf"))]
    return max([start.step, *own])


def mean_mfu(lines: Sequence[Line]) -> float | None:
    """By time: the model's operations in all steps, over what the accelerators could have done meanwhile."""
    known = [(line["mfu"], line["step_seconds"]) for line in lines if "mfu" in line]
    seconds = sum(duration for _, duration in known)
    return significant(sum(mfu * duration for mfu, duration in known) / seconds) if seconds else None


def read_usage(scratch: Path, metrics: Path, allocation: Allocation, site: ClusterSite) -> Usage | None:
    """What the jobs of a finished stage used; None if it had none. Also writes that next to the jobs' records."""
    folder = scratch / "job"
    attempts = with_ends(folder, read_attempts(folder))
    if not attempts:
        return None
    usage = usage_of(attempts, read_starts(scratch), read_lines(metrics), allocation, site)
    write_text(folder / "usage.json", usage.model_dump_json(indent=2) + "\n")
    return usage


def read_lines(metrics: Path) -> list[Line]:
    """A training's lines of metrics; [] if the stage writes none."""
    if not metrics.exists():
        return []
    text = metrics.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
