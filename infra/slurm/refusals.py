"""Finds the next step for Slurm's words about a job that it will not run: the key of the site to change."""

import re

REMEDIES = {
    r"policy":
        "It is more than your account or QoS may use: lower nodes or walltime_minutes of slurm.stages.STAGE.",
    r"invalid account|account\w*notallowed":
        "Set slurm.account to one that you may use there (`sacctmgr show associations user=$USER`).",
    r"invalid partition":
        "Set slurm.stages.STAGE.partition to one that `sinfo` lists.",
    r"time ?limit|walldur":
        "Lower slurm.stages.STAGE.walltime_minutes to what the partition allows (`sinfo --format='%P %l'`): training goes on "
        "in the next job.",
    r"node ?count|nodelimit|nodeperjob":
        "Lower slurm.stages.STAGE.nodes to what the partition has (`sinfo --format='%P %D'`).",
    r"memory specification|mem\w*perjob":
        "Lower slurm.stages.STAGE.memory_mib_per_node to what a node has (`sinfo --format='%P %m'`); 0 asks for all of it.",
    r"cpu count|processors|cpu\w*perjob":
        "Lower tasks_per_node or cpus_per_task of slurm.stages.STAGE: their product is what a node must have "
        "(`sinfo --format='%P %c'`).",
    r"gres|gpu":
        "Set slurm.stages.STAGE.gpus_per_node to what a node has (`sinfo --format='%P %G'`).",
    r"node configuration|partition configuration|partitionconfig|badconstraints":
        "No node is like that: compare gpus_per_node, tasks_per_node × cpus_per_task, memory_mib_per_node and nodes of "
        "slurm.stages.STAGE with `sinfo --format='%P: %D nodes of %c CPUs, %m MiB, %G'`.",
    r"invalid node name":
        "A node that the job was to keep away from is gone from the cluster: run the same command again.",
    r"qos":
        "Set slurm.stages.STAGE.qos to one that you may use there (`sacctmgr show qos`).",
}  # fmt: skip
"""What Slurm says, in lower case, and what to do to STAGE's part. The first that fits counts, so narrow ones come first."""


def remedy(words: str, stage: str) -> str:
    """The next step for Slurm's words of refusal of a stage's job, or for its reason to let it wait forever."""
    found = (step for pattern, step in REMEDIES.items() if re.search(pattern, words.lower()))
    step = next(found, "Change what slurm.stages.STAGE of the site's file asks for accordingly.")
    return step.replace("STAGE", stage)
