"""What a Slurm job's ranks run: any job's request, with all that the site says of Slurm."""

from infra.scheduler.records import JobRequest
from infra.sites.slurm import SlurmAllocation, SlurmSite


class SlurmJobRequest(JobRequest):
    """A job's request whose file keeps Slurm's own keys."""

    allocation: SlurmAllocation
    site: SlurmSite
