"""Finds the MLflow run of a run of Martlet, wherever it was put; takes it out of the trash, or creates it."""

from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException

from infra.tracking.faults import is_missing

RUN_TAG = "martlet.run"
ACTIVE = "active"


def open_run(client: MlflowClient, run: str, known: str, tags: dict[str, str]) -> Any:
    """The MLflow run: the known one if it is still this run's, else one with its tag, else a new one.

    A known run is found in an experiment that was renamed or that it was moved to. One in the trash is taken out of it: its
    points are there already, and the records name it.
    """
    found = by_id(client, run, known) or by_tag(client, run)
    if found is None:
        found = client.create_run(active_experiment(client, run), tags=tags)
    elif found.info.lifecycle_stage != ACTIVE:
        restore(client, found)
    return client.get_run(found.info.run_id)


def by_id(client: MlflowClient, run: str, known: str) -> Any:
    """The MLflow run of this id, if there is one and it shows this run."""
    if not known:
        return None
    try:
        found = client.get_run(known)
    except MlflowException as error:
        if not is_missing(error):
            raise
        return None
    return found if found.data.tags.get(RUN_TAG) == run else None


def by_tag(client: MlflowClient, run: str) -> Any:
    """The MLflow run in the recipe's experiment that shows this run; one that is not in the trash, if there is one."""
    experiment = client.get_experiment_by_name(experiment_name(run))
    if experiment is None:
        return None
    words = f"tags.`{RUN_TAG}` = '{run}'"
    for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY):
        if found := client.search_runs([experiment.experiment_id], words, run_view_type=view, max_results=1):
            return found[0]
    return None


def experiment_name(run: str) -> str:
    """The recipe's name: the run id less its digest."""
    return run.rsplit("-", 1)[0]


def active_experiment(client: MlflowClient, run: str) -> str:
    """The id of the recipe's experiment, which is created or taken out of the trash."""
    name = experiment_name(run)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another run created it meanwhile
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    restore_alone(client, experiment, "")
    return str(experiment.experiment_id)


def restore(client: MlflowClient, found: Any) -> None:
    """Takes a run out of the trash, and its experiment if that lies there too."""
    restore_alone(client, client.get_experiment(found.info.experiment_id), found.info.run_id)
    if client.get_run(found.info.run_id).info.lifecycle_stage != ACTIVE:
        client.restore_run(found.info.run_id)


def restore_alone(client: MlflowClient, experiment: Experiment, run_id: str) -> None:
    """Takes an experiment out of the trash. MLflow takes all its runs with it: the others go back."""
    if experiment.lifecycle_stage == ACTIVE:
        return
    client.restore_experiment(experiment.experiment_id)
    for other in all_runs(client, experiment.experiment_id):
        if other != run_id:
            client.delete_run(other)


def all_runs(client: MlflowClient, experiment: str) -> list[str]:
    """The ids of an experiment's runs that are not in the trash."""
    page = client.search_runs([experiment])
    found = [run.info.run_id for run in page]
    while page.token:
        page = client.search_runs([experiment], page_token=page.token)
        found += [run.info.run_id for run in page]
    return found
