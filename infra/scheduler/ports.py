"""What the generic code needs from a batch scheduler: `Scheduler` where jobs are submitted, `RunningJob` inside a job.

`infra.slurm` satisfies both by shape; `infra.site_scheduler` chooses the scheduler of a site.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from infra.scheduler.cluster_site import ClusterSite
from infra.scheduler.jobs import Job
from infra.scheduler.ranks_end import RanksEnd
from infra.scheduler.records import JobRequest
from infra.scheduler.stage_job import StageJob


class Scheduler(Protocol):
    """The scheduler of one site's cluster, for code that submits jobs and follows them.

    Methods that ask the cluster raise `SchedulerUnreachable` if it does not answer, and `ServiceError` (such as
    `SchedulerMissing`) if it cannot be asked at all.
    """

    @property
    def site(self) -> ClusterSite:
        """The cluster's section of the site file."""
        ...

    @property
    def request_type(self) -> type[JobRequest]:
        """A `JobRequest` that keeps what only this scheduler's section says."""
        ...

    @property
    def script_name(self) -> str:
        """The batch script's file name in the job's folder."""
        ...

    def script(self, stage_job: StageJob, environment: Mapping[str, str], exclude: Sequence[str]) -> str:
        """The text of the stage's batch script; `exclude` are nodes. Raises `ParameterError` for what cannot stand in it."""
        ...

    def submit(self, script: Path, stage: str, held: int | None) -> int:
        """Submits a stage's script; returns the job's number. The descriptor `held` stays open until the cluster has it.

        Raises `JobRefused`. After `SchedulerUnreachable` the job may exist all the same: look for its name.
        """
        ...

    def named(self, name: str) -> list[Job]:
        """The living jobs of this user that have exactly that name, newest last."""
        ...

    def job(self, number: int) -> Job | None:
        """What is known of a job; None if nobody remembers it."""
        ...

    def cancel(self, number: int, *, kill: bool = False) -> None:
        """Ends a job for good, asking its ranks first; with `kill`, they end at once. An ended job is left alone."""
        ...

    def exclude(self, number: int, nodes: Sequence[str]) -> None:
        """Keeps a waiting job away from these nodes, and from no others."""
        ...

    def refusals(self, stages: Collection[str]) -> list[str]:
        """Why the cluster would not take the jobs of these stages, each with the next step; [] if it may. Submits nothing."""
        ...

    def remedy(self, words: str, stage: str) -> str:
        """The next step, naming the key of the site to change, for a refusal or a reason to wait forever."""
        ...

    def cancel_command(self, number: int) -> str:
        """What a person types to end the job."""
        ...


class RunningJob(Protocol):
    """The job whose batch script this process is."""

    @property
    def number(self) -> int:
        """The job's number."""
        ...

    @property
    def restarts(self) -> int:
        """How often the job was put back into the queue so far."""
        ...

    @property
    def variables(self) -> str:
        """What the names of the scheduler's own variables begin with, such as `SLURM`."""
        ...

    @property
    def starter(self) -> str:
        """The program that starts the ranks, such as `srun`; what it says goes to a log with its name."""
        ...

    def nodes(self) -> tuple[str, ...]:
        """The nodes that the job was given, in the order in which they get ranks."""
        ...

    def known(self) -> Job | None:
        """What the scheduler says of the job. Raises `SchedulerUnreachable`."""
        ...

    def requeue(self) -> None:
        """Ends this start and puts the job back into the queue. Raises `ServiceError` if the scheduler refuses."""
        ...

    def address_of(self, node: str) -> str:
        """The address at which other nodes reach this one. Raises `SchedulerUnreachable`."""
        ...

    def ranks_command(self, request: JobRequest, ranks: int, folder: Path) -> list[str]:
        """The command that starts all ranks with a log each (`logs/rank-N.log` in the job's folder), and ends with them.

        The command tells each rank which one it is, in the variables of `torch.distributed`, and runs the module by
        `infra.scheduler.in_job.rank`. The first rank that ends badly, or SIGTERM to the command, ends all ranks.
        """
        ...

    def ranks_end(self, code: int, said: str) -> RanksEnd:
        """How the ranks ended, from that command's exit code and standard error."""
        ...
