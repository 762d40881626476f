"""A whole Slurm cluster on this machine, for tests and for trying things out: real daemons, pretended nodes.

`python -m infra.deploy.cluster start` starts one below `.martlet/cluster`; `cluster.py` is the same for tests.
"""

from pathlib import Path

FOLDER = "cluster"
CONFIGURATION = "slurm.conf"


def default_configuration(home: Path) -> Path | None:
    """The `slurm.conf` of the cluster that `make cluster` started below MARTLET_HOME; None where there is none."""
    path = home.absolute() / FOLDER / CONFIGURATION
    return path if path.is_file() else None
