"""A site file's section about a cluster, whatever its batch scheduler: what each stage's job asks for, and how jobs are run.

As everywhere in a site file, nothing here changes a result. A scheduler's own section adds its own keys (`infra.sites.slurm`).
"""

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from components.base.fields import Fields

TRAININGS = ("train", "train_base")
SPREAD = ("clean", *TRAININGS, "evaluate")
"""Stages whose ranks save their state when they are told that the time is over, and continue in the next job."""
SINGLE = ("pack", "pack_base")
"""Stages that start processes of their own on one node, and are one task to the scheduler."""
STAGES = (*SPREAD, *SINGLE)
"""The stages that can be jobs."""


class Allocation(Fields):
    """What one stage asks for."""

    nodes: PositiveInt
    minimum_nodes: PositiveInt
    """The job may start with so few nodes, or start again after it lost one; if equal to `nodes`: never with fewer."""
    tasks_per_node: PositiveInt
    gpus_per_node: NonNegativeInt
    cpus_per_task: PositiveInt
    memory_mib_per_node: NonNegativeInt | None
    """0: all that the node has; null: what the cluster gives by itself."""
    exclusive: bool
    walltime_minutes: PositiveInt
    """The limit of one submission: training continues in the next."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.minimum_nodes > self.nodes:
            raise ValueError(f"minimum_nodes {self.minimum_nodes:,} is more than nodes {self.nodes:,}: lower it")
        return self

    @property
    def tasks(self) -> int:
        """Ranks, if all nodes are there."""
        return self.nodes * self.tasks_per_node

    @property
    def queue(self) -> str:
        """Where the job waits, in words for people; "" if the site leaves that to the cluster."""
        return ""


class ClusterSite(Fields):
    """How a cluster with a batch scheduler is used."""

    key: ClassVar[str]
    """The section's name in a site file, which messages put before the key to change."""
    scheduler: ClassVar[str]
    """The scheduler's name for people."""

    stages: Mapping[str, Allocation]
    """A stage that is not listed runs where the flow runs."""
    environment: dict[str, str]
    """Variables of every rank; no secrets: the file is in git, and the scheduler keeps the script."""
    network_interface: str | None
    """The interface that the ranks meet over (`NCCL_SOCKET_IFNAME`, `GLOO_SOCKET_IFNAME`); null: they choose."""
    shared_folder: str | None
    """MARTLET_HOME must lie below it, since every node reads and writes there; null: not checked."""
    signal_seconds: Annotated[int, Field(gt=0, le=65_535)]
    """So long before the time limit the ranks are told, and write a checkpoint; the scheduler may be a minute early."""
    poll_seconds: PositiveFloat
    begin_seconds: PositiveInt
    """A rank that has not begun after so long is taken to hang: the job is requeued, and may keep away from the rank's node."""
    longest_wait_minutes: PositiveFloat | None
    """How long a followed job may wait in the queue, anew after each requeue, before it is ended; null: as long as it takes."""
    attempts: PositiveInt
    """Submissions and requeues of one training, those after a time limit included."""
    failures_forgiven: NonNegativeInt
    """How many dead ranks and nodes are forgiven without progress in between."""
    price_per_gpu_hour: NonNegativeFloat | None
    currency: str | None

    @field_validator("stages")
    @classmethod
    def _known(cls, stages: Mapping[str, Allocation]) -> Mapping[str, Allocation]:
        if unknown := sorted(stages.keys() - set(STAGES)):
            raise ValueError(f"{unknown[0]!r} cannot be a job. Those that can: {', '.join(STAGES)}")
        if spread := [stage for stage in SINGLE if stage in stages and stages[stage].tasks > 1]:
            raise ValueError(f"{spread[0]} is one task: nodes 1 and tasks_per_node 1 were expected; give it more cpus_per_task")
        return stages

    @model_validator(mode="after")
    def _signalled(self) -> Self:
        for stage in SPREAD:
            if stage in self.stages and self.stages[stage].walltime_minutes * 60 <= self.signal_seconds:
                raise ValueError(
                    f"signal_seconds {self.signal_seconds:,} is all of stages.{stage}.walltime_minutes "
                    f"{self.stages[stage].walltime_minutes:,}: nothing could be computed; lower it, or raise walltime_minutes"
                )
        return self

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.price_per_gpu_hour is not None and not self.currency:
            raise ValueError("price_per_gpu_hour is given without a currency: name it, such as USD")
        return self

    @field_validator("environment")
    @classmethod
    def _variables(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"{name!r} is not a name of a variable: letters, digits and _ were expected")
            if re.search(r"(TOKEN|SECRET|PASSWORD|PASSWD|KEY)$", name.upper()):
                raise ValueError(f"{name} looks like a secret, and a site file is in git: keep it in a file of the job's user")
        return environment
