"""The servers of Prefect and MLflow as ASGI apps behind the gate, for uvicorn: state below MARTLET_HOME."""

import os
import uuid
from pathlib import Path

from pydantic import SecretStr
from starlette.types import ASGIApp

from infra.servers.gate import Gate, Keys
from infra.servers.secret import secret_of

BROWSER_KEY = "MARTLET_BROWSER_KEY"
"""The variable with the key in the link that lets a browser in; only the servers of one `martlet ui` have it."""


def prefect_app() -> ASGIApp:
    """Prefect's API, and its page unless PREFECT_UI_ENABLED says no."""
    from prefect.server.api.server import create_app

    return Gate(create_app(final=True), keys(), health="/api/health", start="/deployments")


def mlflow_app() -> ASGIApp:
    """MLflow on the database below MARTLET_HOME: what `mlflow server --serve-artifacts` sets up before it starts uvicorn."""
    from mlflow import server
    from mlflow.server import handlers

    home = Path(os.environ["MARTLET_HOME"])
    database = f"sqlite:///{home / 'mlflow.db'}"
    os.environ |= {
        server.BACKEND_STORE_URI_ENV_VAR: database,
        server.REGISTRY_STORE_URI_ENV_VAR: database,
        server.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        server.SERVE_ARTIFACTS_ENV_VAR: "true",
        server.ARTIFACTS_DESTINATION_ENV_VAR: str(home / "mlartifacts"),
        "_MLFLOW_SERVER_BOOT_ID": uuid.uuid4().hex,
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    handlers.initialize_backend_stores(database, database, "mlflow-artifacts:/")
    from mlflow.server.fastapi_app import app

    return Gate(app, keys(), health="/health")


def keys() -> Keys:
    """The keys of this process, whose environment then says nothing of them."""
    browser = os.environ.pop(BROWSER_KEY, "")
    return Keys(secret_of(Path(os.environ["MARTLET_HOME"])), SecretStr(browser) if browser else None)
