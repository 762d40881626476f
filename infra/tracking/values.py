"""Turns what stages wrote into values that MLflow takes: points of curves, names, rows of a table."""

import json
import re
from typing import Any

from mlflow.entities import Metric

NOT_CURVES = {"step", "time"}
LARGEST = (1 << 63) - 1
"""Of a step or a time, in MLflow's tables."""


def read_points(stage: str, text: bytes) -> list[Metric]:
    """The points of a line as it stands in the journal. Raises `ValueError` if it is no JSON object with a step and a time."""
    try:
        return curve_points(stage, json.loads(text))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def curve_points(stage: str, line: dict[str, Any]) -> list[Metric]:
    """One point for each number of a line, nested ones too; the journal's time makes sending it twice harmless."""
    numbers = {key: value for key, value in flatten(line).items() if key not in NOT_CURVES and isinstance(value, int | float)}
    time, step = int(line["time"]), int(line["step"])
    if not 0 <= time <= LARGEST or abs(step) > LARGEST:
        raise OverflowError(f"step {step} or time {time} is too large")
    return [Metric(metric_name(stage, key), float(value), time, step) for key, value in numbers.items()]


def record_numbers(record: dict[str, Any]) -> dict[str, float]:
    """What a stage's record states in numbers, by metric name: its report's, and what its jobs used."""
    stated = flatten(record["report"]) | flatten({"usage": record.get("usage") or {}})
    return {metric_name(record["stage"], key): float(value) for key, value in stated.items() if isinstance(value, int | float)}


def metric_name(stage: str, key: str) -> str:
    """A name that MLflow accepts."""
    return accepted(f"{stage}/{key}")


def accepted(name: str) -> str:
    """A name with `_` for what MLflow refuses: `ja/*` is a fine name for a text, but not for a metric or a parameter."""
    return re.sub(r"[^\w\-. :/]", "_", name)


def score_table(report: dict[str, dict[str, float]]) -> dict[str, list[Any]]:
    """The report of `evaluate` as a table that MLflow's page shows: columns and rows."""
    bits = [(f"bits per byte, {lang}", report["base_bits_per_byte"][lang], report["model_bits_per_byte"][lang])
            for lang in report["base_bits_per_byte"]]
    rows = bits + [(name, report["base"][name], report["model"][name]) for name in report["base"]]
    return {"columns": ["measure", "base", "trained"], "data": [list(row) for row in rows]}


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping of dotted paths."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], dict | list):
        items = dict(enumerate(value)).items()
    else:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat |= flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat
