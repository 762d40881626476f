"""Records what a job ran in: nodes, programs and the variables that may be shown; no secret is among them."""

import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from components.formats.files import write_json
from infra.scheduler.records import Attempt

PACKAGES = ("torch", "transformers", "deepspeed", "numpy", "flash-attn", "liger-kernel", "nvidia-nccl-cu12", "nvidia-nccl-cu13")
SHOWN = re.compile(
    r"(CUDA|NCCL|GLOO|OMP|MARTLET|TORCH|HF_HUB|THP|FLASH|CUBLAS|NVIDIA|MASTER)_\w+|PATH|LD_LIBRARY_PATH|LOADEDMODULES"
)
"""Names of the variables that are recorded besides the scheduler's own: what a job is set up with, and nothing personal."""
SECRET = re.compile(r"TOKEN|SECRET|PASS|KEY|JWT|CREDENTIAL|AUTH", re.IGNORECASE)


def describe(variables: Mapping[str, str], nodes: tuple[str, ...], scheduler: str) -> dict[str, Any]:
    """Facts about this start of the job, for whoever has to explain its numbers later.

    The names of the scheduler's own variables begin with `scheduler`, such as `SLURM`.
    """
    shown = [name for name in sorted(variables) if SHOWN.fullmatch(name) or name.startswith(f"{scheduler}_")]
    return {
        "nodes": list(nodes),
        "host": platform.node(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "variables": {name: variables[name] for name in shown if not SECRET.search(name)},
    }


def installed(package: str) -> str | None:
    """The package's version; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_environment(folder: Path, attempt: Attempt, scheduler: str) -> None:
    """Writes `environment-<job>-<restart>.json` into the job's folder; `scheduler` is as in `describe`."""
    facts = describe(os.environ, attempt.nodes, scheduler)
    write_json(folder / f"environment-{attempt.job}-{attempt.restart}.json", facts)
