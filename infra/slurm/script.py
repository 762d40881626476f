"""Writes the batch script of a job: the text for sbatch.

Later lines override earlier ones: first our variables, then the modules, then the site's own variables.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.errors import ParameterError
from infra.sites.slurm import SlurmAllocation, SlurmSite


@dataclass(frozen=True)
class ScriptRequest:
    """What the batch script of a job is made from."""

    name: str
    comment: str
    """The run's id."""
    folder: Path
    """The job's folder; its output is `batch.log` there."""
    workspace: Path
    """Where it runs, so that `python -m` finds exactly this code."""
    python: Path
    allocation: SlurmAllocation
    site: SlurmSite
    environment: Mapping[str, str]
    """What the job needs besides the site's variables, which have the last word."""
    exclude: Sequence[str]
    """Names of nodes."""


def sbatch_text(request: ScriptRequest) -> str:
    """The batch script. Raises `ParameterError` for a value that a script cannot hold."""
    modules = request.site.modules
    lines = [
        # `module` is a function of login shells, and the submitting process passes on no functions
        "#!/bin/bash --login" if modules else "#!/bin/bash",
        *(f"#SBATCH --{name}={quoted_for_slurm(name, value)}" if value else f"#SBATCH --{name}"
          for name, value in options(request)),
        "",
        f"cd -- {quoted('workspace', str(request.workspace))} || exit 1",
        *exports(request.environment),
        *(f"module load {quoted('slurm.modules', module)} || exit 1" for module in modules),
        *exports(request.site.environment),
        f"exec {quoted('python', str(request.python))} -m infra.slurm.batch {quoted('folder', str(request.folder))}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def options(request: ScriptRequest) -> Iterator[tuple[str, str]]:
    """The options in their order; those that say nothing are left out, and a switch has an empty value."""
    asked, site = request.allocation, request.site
    nodes = f"{asked.nodes}" if asked.minimum_nodes == asked.nodes else f"{asked.minimum_nodes}-{asked.nodes}"
    yield "job-name", request.name
    yield "comment", request.comment
    if site.account:
        yield "account", site.account
    if asked.partition:
        yield "partition", asked.partition
    if asked.qos:
        yield "qos", asked.qos
    yield "nodes", nodes
    # If the number of nodes is open, a node is one task to Slurm; srun says more. Otherwise Slurm would give no more nodes than
    # the fewest have tasks, and would want as many tasks again after a node is lost: the job would wait for that node.
    is_one = asked.minimum_nodes < asked.nodes
    if not is_one:
        yield "ntasks-per-node", f"{asked.tasks_per_node}"
    if asked.gpus_per_node:
        yield "gpus-per-node", f"{asked.gpus_per_node}"
    yield "cpus-per-task", f"{asked.cpus_per_task * (asked.tasks_per_node if is_one else 1)}"
    if asked.memory_mib_per_node is not None:
        yield "mem", f"{asked.memory_mib_per_node}M" if asked.memory_mib_per_node else "0"
    if asked.exclusive:
        yield "exclusive", ""
    yield "time", f"{asked.walltime_minutes}"
    yield "signal", f"USR2@{site.signal_seconds}"  # to every process of the ranks; with B: only to the batch shell
    yield "requeue", ""
    yield "dependency", "singleton"  # if one job too many arrives late, it waits, finds the work done, and ends
    yield "open-mode", "append"
    yield "output", slurm_pattern(request.folder / "batch.log")
    if request.exclude:
        yield "exclude", ",".join(request.exclude)


def slurm_pattern(path: Path) -> str:
    """A path as Slurm's file name pattern, in which % means something and a backslash switches that off."""
    if "\\" in str(path):
        raise ParameterError(f"{path}: Slurm writes no log below a path with a backslash. Set MARTLET_HOME to another.")
    return str(path).replace("%", "%%")


def exports(variables: Mapping[str, str]) -> Iterator[str]:
    """One line per variable, in their order."""
    for name, value in variables.items():
        yield f"export {name}={quoted(name, value)}"


def quoted(name: str, value: str) -> str:
    """A value as a word of the shell. Raises `ParameterError` as `printable` does."""
    return shlex.quote(printable(name, value))


def quoted_for_slurm(name: str, value: str) -> str:
    """A value as sbatch reads it from a script: in double quotes a backslash makes the next character plain."""
    if all(character.isalnum() or character in "-_./@%,=:+[]" for character in printable(name, value)):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def printable(name: str, value: str) -> str:
    """The value. Raises `ParameterError` if it has a newline or another control character, which would end its line."""
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ParameterError(f"{name}: {value!r} has a newline or another control character, which no batch script can hold.")
    return value
