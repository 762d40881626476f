"""Reads site files: what a stage may use on a machine or cluster, and how the cluster's batch scheduler is used."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError, model_validator

from components.base.plain_yaml import read_yaml, read_yaml_file
from components.base.site import Site
from components.errors import ParameterError
from infra.scheduler.cluster_site import TRAININGS, ClusterSite
from infra.sites.slurm import SlurmSite

FOLDER = Path(__file__).parent
CLUSTER_KEYS = (SlurmSite.key,)
"""The keys of a site file that say how a batch scheduler is used; at most one is set, since a cluster has one scheduler."""


class SiteFile(BaseModel):
    """One file of this folder: every value spelled out, nothing unknown."""

    model_config = ConfigDict(extra="forbid")

    name: str
    workers: PositiveInt
    clean_processes: PositiveInt
    train_processes: PositiveInt
    train_micro_batch_size: PositiveInt
    threads_per_process: PositiveInt
    evaluate_batch_size: PositiveInt
    evaluate_processes: PositiveInt
    attention_implementation: Literal["sdpa", "flash_attention_2", "eager"]
    compile: bool
    fused_kernels: bool
    asynchronous_checkpoints: bool
    accelerator_tflops: PositiveFloat | None
    slurm: SlurmSite | None
    """None: everything runs on this machine."""

    @property
    def cluster(self) -> ClusterSite | None:
        """The section of the one batch scheduler that the site has."""
        return self.slurm

    @model_validator(mode="after")
    def _agreement(self) -> Self:
        spread = {
            "clean": "clean_processes", **dict.fromkeys(TRAININGS, "train_processes"), "evaluate": "evaluate_processes"
        }
        for stage, key in spread.items():
            asked, processes = self.cluster.stages.get(stage) if self.cluster else None, getattr(self, key)
            if self.cluster and asked and asked.tasks != processes:
                raise ValueError(
                    f"{key} {processes:,} are not {self.cluster.key}.stages.{stage}'s {asked.nodes:,} nodes × "
                    f"{asked.tasks_per_node:,} tasks_per_node: change one of them"
                )
        return self


def load_site(name: str, changes: Sequence[str] = ()) -> Site:
    """Reads a site, with some values changed (`KEY=VALUE`, `KEY.INNER=VALUE`).

    Raises `ParameterError` naming the file, the key, and the known sites.
    """
    return Site(**read_file(name, changes).model_dump(exclude=set(CLUSTER_KEYS)))


def load_cluster(name: str, changes: Sequence[str] = ()) -> ClusterSite | None:
    """Reads how a site's scheduler is used; None for a site without one. Raises `ParameterError` as `load_site` does."""
    return read_file(name, changes).cluster


def read_file(name: str, changes: Sequence[str]) -> SiteFile:
    """The whole file, checked. Raises `ParameterError` as `load_site` does."""
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
        raise ParameterError(f"there is no site {name!r} in {FOLDER}. There are: {there}. Set MARTLET_SITE to one of them.")
    values = read_yaml_file(path)
    for keys, value in parsed(changes).items():
        values = with_value(values, keys.split("."), value)
    try:
        return SiteFile.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        problems = "; ".join(problem(e["loc"], e["msg"]) for e in error.errors())
        raise ParameterError(f"{path} does not describe a site: {problems}") from None


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """Each `KEY=VALUE` with its value as YAML reads it."""
    pairs = [change.partition("=") for change in changes]
    if wrong := [name for name, equals, text in pairs if not (name and equals and text)]:
        raise ParameterError(f"KEY=VALUE was expected, found {wrong[0]!r}. The keys are: {', '.join(SiteFile.model_fields)}.")
    return {name: read_yaml(text, f"{name}=") for name, _, text in pairs}


def with_value(values: Any, keys: Sequence[str], value: Any) -> Any:
    """Nested mappings with one value changed; a mapping that YAML shares between places changes only in this place.

    Raises `ParameterError` if there is no mapping to put the value into.
    """
    if not keys:
        return value
    if not isinstance(values, dict):
        raise ParameterError(f"there is nothing that could have a key {keys[0]!r}: set the whole of it instead.")
    return {**values, keys[0]: with_value(values.get(keys[0]), keys[1:], value)}


def problem(place: tuple[int | str, ...], words: str) -> str:
    """What pydantic found wrong, and in which place."""
    return ": ".join(part for part in (".".join(map(str, place)), words.removeprefix("Value error, ")) if part)
