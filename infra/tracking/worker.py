"""The one writer of a run's MLflow record: `python -m infra.tracking.worker WORKSPACE RUN FLOW_RUN`.

It sends what the stages wrote to disk every few seconds, and catches up after an outage. It ends when its standard input ends;
what it read there is the run's status.
"""

import fcntl
import logging
import os
import select
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.store.db import utils
from sqlalchemy.exc import SQLAlchemyError

from components.errors import MartletError
from infra.tracking.address import Address, read_address
from infra.tracking.database import prepare
from infra.tracking.faults import explain
from infra.tracking.mirror import Mirror

INTERVAL_SECONDS = 2.0
OUTAGES = (MlflowException, MartletError, SQLAlchemyError, OSError)
"""What an outside service or a disk raises; anything else is a mistake of ours, whose traceback goes into the log."""


class Writer:
    """Sends to one address, and says once for each fault what is wrong."""

    def __init__(self, mirror: Mirror, address: Address, home: Path) -> None:
        self.mirror = mirror
        self.address = address
        self.home = home
        self.status = ""
        self.is_prepared = False
        self.opened: tuple[int, int] | None = None
        self.said = ""

    def follow(self) -> None:
        """Sends what is new every few seconds until standard input ends, and keeps the status read there."""
        while not self.status:
            self.attempt(self.mirror.catch_up)
            if select.select([sys.stdin], [], [], INTERVAL_SECONDS)[0]:
                self.status = sys.stdin.read().strip() or "KILLED"

    def attempt(self, action: Callable[[], None]) -> bool:
        """Runs an action; for a fault it notes the reason, and the next round sends what this one could not."""
        try:
            self.prepare()
            action()
        except Exception as error:  # noqa: BLE001  (a view: whatever goes wrong with it, nothing waits for it)
            self.mirror.run_id = ""  # the next try begins with a look at the MLflow run
            self.note(error)
            return False
        self.said = ""
        return True

    def prepare(self) -> None:
        """Looks at a database before MLflow opens it. The first to come creates its tables: one at a time."""
        if not self.is_prepared and self.address.is_database:
            with (self.home / "mlflow.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                prepare(self.address, self.home / "mlflow.db")
                self.mirror.open()
            self.is_prepared, self.opened = True, self.identity()
        elif self.is_prepared and self.opened != self.identity():  # MLflow makes tables only in the first file that it opens
            sys.stdout.flush()
            command = [sys.executable, "-m", "infra.tracking.worker", *sys.argv[1:4], self.status]
            os.execv(sys.executable, command)  # noqa: S606

    def identity(self) -> tuple[int, int] | None:
        """Which file a SQLite database is now: it may be removed, or another put in its place."""
        if not self.address.is_sqlite or not self.address.database.exists():
            return None
        facts = self.address.database.stat()
        return facts.st_dev, facts.st_ino

    def note(self, error: Exception) -> None:
        """Writes down what went wrong; into the log only if it is new."""
        reason = explain(error, self.address)
        if reason != self.said and not isinstance(error, OUTAGES):
            print(self.address.scrub("".join(traceback.format_exception(error))), flush=True)  # noqa: T201
        if reason != self.said:
            print(reason, flush=True)  # noqa: T201
        self.said = reason
        try:
            self.mirror.state.fail(reason)
        except OSError:  # on a full disk the log is all there is, if that
            return


def main(workspace: str, run: str, flow_run: str, status: str = "") -> int:
    """Follows one run, unless its status is known already; exit code 1 if MLflow does not show all of it in the end."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # one line for a fault: ours
    utils.MAX_RETRY_COUNT = 1  # ten tries at a database that cannot be opened take two minutes, and a run's end waits
    home = Path(os.environ["MARTLET_HOME"])
    os.chdir(home)  # a database without a server keeps its artifacts in ./mlruns
    address = read_address(os.environ["MLFLOW_TRACKING_URI"], home)
    if address.is_sqlite:  # a connection that is kept goes on writing into a file that was removed
        os.environ["MLFLOW_SQLALCHEMYSTORE_POOLCLASS"] = "NullPool"
    writer = Writer(Mirror(Path(workspace), run, flow_run, address), address, home)
    writer.status = status
    writer.follow()
    return 0 if writer.attempt(lambda: writer.mirror.close(writer.status)) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
