"""The text of a cluster's configuration files, from its shape and its place: pure functions.

One machine pretends to be many: every node is a slurmd with a name and a port of its own, and Slurm believes the file, not the
hardware. Nothing here needs cgroups, systemd or root. Tried with Slurm 22.05 (Debian 12).
"""

from dataclasses import dataclass
from pathlib import Path

from infra.deploy.cluster import CONFIGURATION

MEMORY_MIB_PER_CPU = 4000


@dataclass(frozen=True)
class ClusterShape:
    """What the cluster pretends to be."""

    nodes: int = 2
    cpus: int = 8
    gpus: int = 2
    grace_seconds: int = 20
    """Between a preempted job's first signal and its end."""
    job_age_seconds: int = 86400
    """How long the controller remembers a job that ended: at least 2, and even then it takes some 10 s."""
    node_timeout_seconds: int = 30
    """How long a node may be silent before it is down and its jobs are requeued; the pings before that take as long again."""
    message_seconds: int = 10
    """How long an answer may take; commands keep asking a controller that is gone for about that long."""

    @property
    def names(self) -> list[str]:
        """The names of the nodes."""
        return [f"node{number}" for number in range(1, self.nodes + 1)]


@dataclass(frozen=True)
class ClusterPlace:
    """Where the cluster lives."""

    folder: Path
    """State and logs."""
    sockets: Path
    """A folder with a short path: a socket's path may have at most 107 bytes."""
    host: str
    address: str
    """A loopback address; the daemons listen nowhere else if `host` resolves to it."""
    binds_address: bool
    user: str
    port: int
    """The controller's port; the nodes' ports follow."""
    version: tuple[int, int]
    """Slurm's version, such as (22, 5)."""

    @property
    def configuration(self) -> Path:
        """What SLURM_CONF points to."""
        return self.folder / CONFIGURATION


def configuration_files(shape: ClusterShape, place: ClusterPlace) -> dict[Path, str]:
    """Every file that the daemons read, by its path."""
    # newer daemons want cgroups even if nothing uses them, unless they are told not to
    cgroup = "CgroupPlugin=disabled\n" if place.version >= (23, 2) else ""
    return {
        place.configuration: slurm_conf(shape, place),
        place.folder / "gres.conf": gres_conf(shape, place),
        place.folder / "cgroup.conf": f"ConstrainCores=no\n{cgroup}",
        place.folder / "plugstack.conf": "",
    }


def gres_conf(shape: ClusterShape, place: ClusterPlace) -> str:
    """The GPUs: Slurm counts only those with a device file, and a link to /dev/null is one."""
    if not shape.gpus:
        return ""
    return f"NodeName=node[1-{shape.nodes}] Name=gpu File={place.folder}/gpus/gpu[0-{shape.gpus - 1}]\n"


def slurm_conf(shape: ClusterShape, place: ClusterPlace) -> str:
    """The text of slurm.conf. Partition `low` is the default and is preempted by `high`."""
    listening = "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n" if place.binds_address else ""
    gpus = f" Gres=gpu:{shape.gpus}" if shape.gpus else ""
    return f"""\
ClusterName=martlet
SlurmctldHost={place.host}({place.address})
SlurmctldPort={place.port}
SlurmUser={place.user}
SlurmdUser={place.user}
{listening}AuthType=auth/munge
# a requeued job waits cred_expire seconds before it may start again: 120 by default, 5 at least
AuthInfo=socket={place.sockets}/munge.socket,cred_expire=5
CredType=cred/munge

StateSaveLocation={place.folder}/state
SlurmdSpoolDir={place.folder}/spool/%n
SlurmctldPidFile={place.sockets}/slurmctld.pid
SlurmdPidFile={place.sockets}/slurmd-%n.pid
SlurmctldLogFile={place.folder}/logs/slurmctld.log
SlurmdLogFile={place.folder}/logs/slurmd-%n.log
JobCompType=jobcomp/filetxt
JobCompLoc={place.folder}/logs/jobs.txt
AccountingStorageType=accounting_storage/none
MailProg=/bin/true

SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
PropagateResourceLimits=NONE

SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU={MEMORY_MIB_PER_CPU}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
DependencyParameters=kill_invalid_depend
JobRequeue=1
KillWait=5
MinJobAge={shape.job_age_seconds}
SlurmctldTimeout=30
MessageTimeout={shape.message_seconds}
SlurmdTimeout={shape.node_timeout_seconds}
BatchStartTimeout=30
ReturnToService=2

GresTypes=gpu
NodeName=node[1-{shape.nodes}] NodeHostname={place.host} NodeAddr={place.address} \
Port=[{place.port + 1}-{place.port + shape.nodes}] CPUs={shape.cpus} RealMemory={shape.cpus * MEMORY_MIB_PER_CPU}{gpus}
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime={shape.grace_seconds} \
MaxTime=1-0 DefaultTime=30
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=1-0 DefaultTime=30
"""
