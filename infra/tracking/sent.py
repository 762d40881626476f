"""Asks MLflow how much of a run was sent to it, in milliseconds: without MLflow's library, which takes seconds to load.

Whatever keeps it from an answer counts as nothing sent, and then the writer looks for itself.
"""

import json
import os
import sqlite3
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from infra.servers.loopback import loopback_directly
from infra.tracking.address import Address
from infra.tracking.coverage import TAG

ANSWER_SECONDS = 5
QUERY = """SELECT tags.value FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
WHERE runs.run_uuid = ? AND runs.lifecycle_stage = 'active' AND tags.key = ?"""


def sent_to(address: Address, run_id: str) -> str:
    """The tag of an MLflow run that says how much was sent; empty if it cannot be read this way, or the run is in the trash."""
    try:
        if address.is_sqlite:
            return from_database(address.database, run_id)
        return from_server(address, run_id) if address.is_server else ""
    except (OSError, ValueError, KeyError, TypeError, sqlite3.Error):
        return ""


def from_database(path: Path, run_id: str) -> str:
    """The tag, read from MLflow's tables."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=ANSWER_SECONDS)) as database:
        row = database.execute(QUERY, (run_id, TAG)).fetchone()
    return str(row[0]) if row else ""


def from_server(address: Address, run_id: str) -> str:
    """The tag, asked from MLflow's API."""
    request = urllib.request.Request(f"{address.uri}/api/2.0/mlflow/runs/get?run_id={run_id}", headers=credentials(address))  # noqa: S310
    os.environ.update(loopback_directly(os.environ))
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310  (an http address)
        run = json.loads(answer.read())["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    return str(tags.get(TAG, "")) if run["info"]["lifecycle_stage"] == "active" else ""


def credentials(address: Address) -> dict[str, str]:
    """The header of the credentials that MLflow's client would send."""
    known = {**os.environ, **address.environment()}
    user, password = known.get("MLFLOW_TRACKING_USERNAME"), known.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}
    token = known.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}
