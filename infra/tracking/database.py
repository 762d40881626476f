"""Looks at a database before MLflow does, which would change an older one without asking and wait long for one that is broken.

Martlet's own database is upgraded after a copy was made; somebody else's is left as it is.
"""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import mlflow
from mlflow.store.db import utils
from sqlalchemy import create_engine, inspect, text

from infra.tracking.address import Address
from infra.tracking.faults import HistoryRefused

MIGRATIONS = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"


def prepare(address: Address, own: Path) -> None:
    """Raises `HistoryRefused` if the database is of another schema; `own` is Martlet's, which is upgraded instead."""
    if address.is_sqlite and not is_usable_file(address.database):
        return
    found, latest = schema(address.uri), utils._get_latest_schema_revision()
    if found in ("", latest):
        return
    if found and not list(MIGRATIONS.glob(f"{found}_*.py")):
        raise HistoryRefused(
            f"a newer MLflow than {mlflow.__version__} wrote the database (its schema is {found}). "
            "Install that version, or set MLFLOW_TRACKING_URI to another database"
        )
    if address.is_sqlite and address.database == own:
        upgrade(own, found, address.uri)
    else:
        raise HistoryRefused(
            f"an older MLflow than {mlflow.__version__} wrote the database (its schema is {found}), and it is left as it is. "
            f"Back it up, then run `mlflow db upgrade {address.shown}`"
        )


def is_usable_file(path: Path) -> bool:
    """Whether a database file is there. Raises `HistoryRefused` if it, or its folder, cannot be written."""
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            raise HistoryRefused(f"{place} cannot be written. Give this user the right to, or set MLFLOW_TRACKING_URI")
    return path.exists() and path.stat().st_size > 0


def schema(uri: str) -> str:
    """The revision of a database's schema; empty if MLflow has no tables in it."""
    engine = create_engine(uri)
    try:
        tables = set(inspect(engine).get_table_names())
        if "alembic_version" in tables:
            with engine.connect() as connection:
                return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")
        return "before 1.0" if {"experiments", "runs"} <= tables else ""
    finally:
        engine.dispose()


def upgrade(database: Path, found: str, uri: str) -> None:
    """Copies Martlet's own database, then has MLflow upgrade it. Raises `HistoryRefused` with MLflow's words if it does not."""
    copy = database.with_name(f"{database.name}.{found}.backup")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise HistoryRefused(f"{database} could not be upgraded ({last}); {copy} is as it was. Move it away for a new one")
    print(f"upgraded {database} to the schema of MLflow {mlflow.__version__}; {copy} is how it was", flush=True)  # noqa: T201
