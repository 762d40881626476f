"""The environment of a program that asks Martlet's own servers: their address with the secret, and nobody else's credentials.

The secret belongs to an address: whoever changes the address of such an environment takes the secret out again.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from infra.servers.secret import USER, authorization, secret_of

PREFECT_CREDENTIALS = {"PREFECT_API_AUTH_STRING", "PREFECT_API_KEY", "PREFECT_CLIENT_CUSTOM_HEADERS"}
MLFLOW_CREDENTIALS = {
    "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
}  # fmt: skip


def asking_prefect(variables: Mapping[str, str], home: Path, url: str) -> dict[str, str]:
    """The variables, with one of our Prefect servers to ask. As a header, the secret goes along with websockets as well."""
    kept = {name: value for name, value in variables.items() if name not in PREFECT_CREDENTIALS}
    headers = {"Authorization": authorization(secret_of(home))}
    return {**kept, "PREFECT_API_URL": url, "PREFECT_CLIENT_CUSTOM_HEADERS": json.dumps(headers)}


def asking_mlflow(variables: Mapping[str, str], home: Path, url: str) -> dict[str, str]:
    """The variables, with our MLflow server to ask."""
    kept = {name: value for name, value in variables.items() if name not in MLFLOW_CREDENTIALS}
    secret = secret_of(home).get_secret_value()
    return {**kept, "MLFLOW_TRACKING_URI": url, "MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": secret}
