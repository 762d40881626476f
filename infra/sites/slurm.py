"""The `slurm:` section of a site file: what any cluster's section holds, and what only Slurm's jobs need."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from components.base.fields import Fields
from infra.scheduler.cluster_site import Allocation, ClusterSite

Word = Annotated[str, Field(pattern=r"^[^\s,\"'\\#]+$")]
"""A name in Slurm; it is put into an option as it is."""


class SlurmAllocation(Allocation):
    """What one stage asks Slurm for."""

    partition: Word | None
    qos: Word | None

    @property
    def queue(self) -> str:
        """The partition, in words for people."""
        return f"partition {self.partition}" if self.partition else ""


class Container(Fields):
    """An image that the ranks run in, through pyxis' options of srun."""

    image: str
    mounts: list[str]
    """`FROM:TO[:FLAGS]`, as pyxis has them; the workspace, MARTLET_HOME and the Python environment must be among them."""


class SlurmSite(ClusterSite):
    """How a Slurm cluster is used."""

    key: ClassVar[str] = "slurm"
    scheduler: ClassVar[str] = "Slurm"

    account: Word | None
    stages: Mapping[str, SlurmAllocation]
    modules: list[str]
    """`module load`, in this order."""
    container: Container | None
