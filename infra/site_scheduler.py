"""Chooses the batch scheduler of a site: the one place where the schedulers' packages are named."""

from collections.abc import Sequence

from infra.scheduler.cluster_site import ClusterSite
from infra.scheduler.ports import Scheduler
from infra.settings import Settings
from infra.sites import load_cluster
from infra.sites.slurm import SlurmSite
from infra.slurm.scheduler import SlurmScheduler


def scheduler_of(settings: Settings, changes: Sequence[str] = ()) -> Scheduler | None:
    """The batch scheduler of the settings' site; None if the site has none: then everything runs on this machine.

    Asks no cluster anything yet. Raises `ParameterError` as `infra.sites.load_site` does.
    """
    site = load_cluster(settings.site, changes)
    return None if site is None else chosen(site, settings)


def chosen(site: ClusterSite, settings: Settings) -> Scheduler:
    """The scheduler that the section belongs to."""
    match site:
        case SlurmSite():
            return SlurmScheduler.of_site(site, settings)
    raise AssertionError(f"no scheduler is named here for the section {site.key!r} of a site file")
