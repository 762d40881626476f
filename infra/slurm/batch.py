"""`python -m infra.slurm.batch FOLDER`: the program of a batch script, which runs the ranks by srun and judges their end."""

import os
import sys
from pathlib import Path

from infra.scheduler.in_job.batch import BatchJob
from infra.scheduler.jobs import Job
from infra.scheduler.ranks_end import RanksEnd
from infra.scheduler.records import JobRequest, read_request
from infra.sites.slurm import Container
from infra.slurm.commands import Slurm
from infra.slurm.job_request import SlurmJobRequest
from infra.slurm.script import slurm_pattern
from infra.slurm.srun_words import read_ranks_end


class SlurmRunningJob:
    """Satisfies `infra.scheduler.ports.RunningJob` by the variables and the commands that a Slurm job has."""

    variables = "SLURM"
    starter = "srun"

    def __init__(self, container: Container | None) -> None:
        """The ranks run in the container, if there is one."""
        self.container = container
        self.slurm = Slurm(None)

    @property
    def number(self) -> int:
        """The job's number."""
        return int(os.environ["SLURM_JOB_ID"])

    @property
    def restarts(self) -> int:
        """How often Slurm has requeued the job."""
        return int(os.environ.get("SLURM_RESTART_COUNT", "0"))

    def nodes(self) -> tuple[str, ...]:
        """The job's nodes, in Slurm's order."""
        return tuple(self.slurm.names_of(os.environ["SLURM_JOB_NODELIST"]))

    def known(self) -> Job | None:
        """What Slurm says of the job."""
        return self.slurm.job(self.number)

    def requeue(self) -> None:
        """Puts the job back into the queue; Slurm ends this process for that."""
        self.slurm.requeue(self.number)

    def address_of(self, node: str) -> str:
        """A node's address in the cluster's configuration."""
        return self.slurm.address_of(node)

    def ranks_command(self, request: JobRequest, ranks: int, folder: Path) -> list[str]:
        """One task per rank, each with a log of its own; the first bad end ends all."""
        box = self.container
        boxed = [f"--container-image={box.image}", f"--container-mounts={','.join(box.mounts)}"] if box else []
        return [
            "srun", "--kill-on-bad-exit=1", "--open-mode=append", f"--output={slurm_pattern(folder)}/logs/rank-%t.log",
            f"--ntasks={ranks}", f"--ntasks-per-node={request.allocation.tasks_per_node}",
            f"--cpus-per-task={request.allocation.cpus_per_task}", *boxed,
            sys.executable, "-m", "infra.slurm.rank", str(folder), request.module, *request.arguments,
        ]  # fmt: skip

    def ranks_end(self, code: int, said: str) -> RanksEnd:
        """How the tasks ended, in srun's words."""
        return read_ranks_end(code, said)


def main(folder: Path) -> int:
    """Runs one start of the job; returns its exit code."""
    request = read_request(folder, SlurmJobRequest)
    return BatchJob(folder, request, SlurmRunningJob(request.site.container)).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
