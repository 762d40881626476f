"""A whole Slurm cluster on this machine, for tests and for trying things out: real daemons, simulated nodes.

`python -m infra.deploy.cluster start` starts one below `.martlet/cluster`; tests use `cluster.py`.
"""

from pathlib import Path

FOLDER = "cluster"
CONFIGURATION = "slurm.conf"


def default_configuration(home: Path) -> Path | None:
    """The `slurm.conf` of the cluster that `make cluster` started below MARTLET_HOME; None if there is none."""
    path = home.absolute() / FOLDER / CONFIGURATION
    return path if path.is_file() else None
