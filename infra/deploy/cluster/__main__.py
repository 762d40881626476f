"""`python -m infra.deploy.cluster`: the test cluster's command line. What it prints is meant for `eval` and for people."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from components.errors import MartletError
from infra.deploy.cluster import FOLDER, installation
from infra.deploy.cluster.cluster import Cluster
from infra.deploy.cluster.configuration import ClusterShape
from infra.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="A Slurm cluster on this machine.",
)
Folder = Annotated[Path, typer.Option(help="where it lives")]
NEXT_STEP = """\
The cluster is ready. With the line above, sinfo, squeue and sbatch talk to it; a run uses it with
  MARTLET_SITE=slurm-dev .venv/bin/martlet run smoke
It lives until `make cluster-stop` (or `stop` with the same folder)."""
FOLDER_OF_THIS_CLONE = Settings().home / FOLDER


@app.command()
def install() -> None:
    """Install Slurm and munge, unless they are installed."""
    installation.install()


@app.command()
def start(
    folder: Folder = FOLDER_OF_THIS_CLONE,
    nodes: Annotated[int, typer.Option(min=1, max=32)] = ClusterShape.nodes,
    cpus: Annotated[int, typer.Option(min=1, help="of a node")] = ClusterShape.cpus,
    gpus: Annotated[int, typer.Option(min=0, help="of a node")] = ClusterShape.gpus,
) -> None:
    """Start it, unless it runs already."""
    cluster = Cluster(folder, ClusterShape(nodes=nodes, cpus=cpus, gpus=gpus))
    cluster.start()
    print_environment(cluster)
    typer.echo(NEXT_STEP, err=True)


@app.command()
def stop(folder: Folder = FOLDER_OF_THIS_CLONE) -> None:
    """End its jobs and its daemons."""
    Cluster(folder, ClusterShape()).stop()


@app.command()
def status(folder: Folder = FOLDER_OF_THIS_CLONE) -> None:
    """Show its nodes and its queue."""
    cluster = Cluster(folder, ClusterShape())
    if cluster.configuration.exists():
        typer.echo(cluster.command("sinfo", "--Node", "--long") + cluster.command("squeue"))
    else:
        typer.echo(f"no cluster lives in {folder}")


@app.command()
def env(folder: Folder = FOLDER_OF_THIS_CLONE) -> None:
    """Print what the shell must know: eval "$(… env)"."""
    print_environment(Cluster(folder, ClusterShape()))


def print_environment(cluster: Cluster) -> None:
    """Prints one `export` line per variable."""
    for name, value in cluster.environment().items():
        typer.echo(f"export {name}={value}")


if __name__ == "__main__":
    try:
        app()
    except MartletError as error:
        sys.exit(f"error: {error}")
