"""The `slurm:` section of a site file: what each stage asks Slurm for, and what its jobs need there.

Like everything of a site, nothing here changes a result.
"""

import re
from typing import Annotated, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from components.base.fields import Fields

TRAININGS = ("train", "train_base")
SPREAD = ("clean", *TRAININGS, "evaluate")
"""Stages whose ranks save what they have when they are told that the time is over, and go on in the next job."""
SINGLE = ("pack", "pack_base")
"""Stages that have processes of their own on one node, and are one task to Slurm."""
STAGES = (*SPREAD, *SINGLE)
"""The stages that can be jobs."""

Word = Annotated[str, Field(pattern=r"^[^\s,\"'\\#]+$")]
"""A name of Slurm's: stands in an option as it is."""


class Allocation(Fields):
    """What one stage asks for."""

    partition: Word | None
    qos: Word | None
    nodes: PositiveInt
    minimum_nodes: PositiveInt
    """The job may start, or start again after it lost a node, with as few; the same as `nodes`: never with fewer."""
    tasks_per_node: PositiveInt
    gpus_per_node: NonNegativeInt
    cpus_per_task: PositiveInt
    memory_mib_per_node: NonNegativeInt | None
    """0: all that the node has; null: what the partition gives."""
    exclusive: bool
    walltime_minutes: PositiveInt
    """Of one submission: training goes on in the next."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.minimum_nodes > self.nodes:
            raise ValueError(f"minimum_nodes {self.minimum_nodes:,} is more than nodes {self.nodes:,}: lower it")
        return self

    @property
    def tasks(self) -> int:
        """Ranks, where all nodes are there."""
        return self.nodes * self.tasks_per_node


class Container(Fields):
    """An image that the ranks run in, through pyxis' options of srun."""

    image: str
    mounts: list[str]
    """`FROM:TO[:FLAGS]`, as pyxis has them; the workspace, MARTLET_HOME and the Python environment must be among them."""


class SlurmSite(Fields):
    """How a Slurm cluster is used."""

    account: Word | None
    stages: dict[str, Allocation]
    """A stage that is not listed runs where the flow runs."""
    modules: list[str]
    """`module load`, in this order."""
    container: Container | None
    environment: dict[str, str]
    """Variables of every rank; no secrets: the file is in git, and Slurm keeps the script."""
    network_interface: str | None
    """What the ranks meet over (`NCCL_SOCKET_IFNAME`, `GLOO_SOCKET_IFNAME`); null: they choose."""
    shared_folder: str | None
    """MARTLET_HOME must lie below it, since every node reads and writes there; null: not checked."""
    signal_seconds: Annotated[int, Field(gt=0, le=65_535)]
    """So long before the limit the ranks are told, and write a checkpoint; Slurm may be a minute early."""
    poll_seconds: PositiveFloat
    begin_seconds: PositiveInt
    """A rank that has not begun that long after the others hangs: the job is put back, and may keep away from its node."""
    longest_wait_minutes: PositiveFloat | None
    """How long a followed job may wait in the queue, anew after each requeue, before it is ended; null: as long as it takes."""
    attempts: PositiveInt
    """Submissions and requeues of one training, those after a time limit included."""
    failures_forgiven: NonNegativeInt
    """Dead ranks and nodes without progress between them."""
    price_per_gpu_hour: NonNegativeFloat | None
    currency: str | None

    @field_validator("stages")
    @classmethod
    def _known(cls, stages: dict[str, Allocation]) -> dict[str, Allocation]:
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
                raise ValueError(f"{name!r} is no name of a variable: letters, digits and _ were expected")
            if re.search(r"(TOKEN|SECRET|PASSWORD|PASSWD|KEY)$", name.upper()):
                raise ValueError(f"{name} looks like a secret, and a site file is in git: keep it in a file of the job's user")
        return environment
