"""What becomes of a run's history when the MLflow database is deleted, lost, restored, locked, older, newer or damaged."""

import ctypes
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infra.tracking.writer import is_complete, tracked, tracking_environment
from tests.support.histories import (
    TIME,
    add_steps,
    expected,
    lines,
    log_of,
    losses,
    send,
    state_of,
    until,
    workspace,
)  # fmt: skip

RUN = "tiny-11111111"
OLD_SCHEMA = "acf3f17fdcc7"
"""Of MLflow 2.10, which knows no traces yet."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow has just made: its tables take seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def home(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copyfile(template, tmp_path / "mlflow.db")
    monkeypatch.setenv("MARTLET_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")  # this process must see a file that took another's place
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def finished(template: Path) -> Path:
    """A folder with a finished run whose history is complete."""
    with pytest.MonkeyPatch.context() as patch:
        home = template.parent / "finished"
        home.mkdir()
        shutil.copyfile(template, home / "mlflow.db")
        patch.setenv("MARTLET_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = workspace(home, RUN)
        send(folder)
        assert is_complete(folder), log_of(folder)
    return home


@pytest.fixture
def folder(home: Path, finished: Path) -> Path:
    """The same run in a folder of its own."""
    shutil.copytree(finished, home, dirs_exist_ok=True)
    folder = home / "runs" / RUN
    notes = folder / "journal" / "tracking.json"
    notes.write_text(notes.read_text().replace(str(finished), str(home)))
    assert is_complete(folder)
    return folder


def client_of(database: Path) -> Any:
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{database}")


def assert_shown(database: Path, folder: Path, steps: int = 5) -> str:
    """The record says that MLflow shows all, MLflow does, and once; returns the MLflow run's id."""
    assert is_complete(folder), log_of(folder)
    client = client_of(database)
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    (found,) = client.search_runs(everywhere, f"tags.`martlet.run` = '{folder.name}'")
    assert losses(client, found.info.run_id) == expected(steps)
    assert found.data.metrics["pack/tokens.ja/_"] == 7
    assert found.info.status == "FINISHED"
    assert (folder / "journal" / "mlflow_run").read_text() == found.info.run_id == state_of(folder)["run_id"]
    assert [entry.dataset.digest for entry in found.inputs.dataset_inputs] == ["a" * 32]
    assert "Traceback" not in log_of(folder)
    return str(found.info.run_id)


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Sends in vain; returns the one line that says why."""
    capsys.readouterr()
    send(folder)
    assert not is_complete(folder)
    assert state_of(folder)["complete"] is False
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("MLflow does not show all of this run yet. MLflow at ")
    assert state_of(folder)["reason"] in line
    assert "Traceback" not in log_of(folder)
    return line


def put_into_the_trash(database: Path, run_id: str) -> None:
    client_of(database).delete_run(run_id)


def delete_for_good(database: Path, run_id: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{database}", "unused")._hard_delete_run(run_id)


def delete_experiment(database: Path, run_id: str) -> None:
    client = client_of(database)
    client.delete_experiment(client.get_run(run_id).info.experiment_id)


def rename_experiment(database: Path, run_id: str) -> None:
    client = client_of(database)
    client.rename_experiment(client.get_run(run_id).info.experiment_id, "another name")


def lose(database: Path, run_id: str) -> None:
    database.unlink()


SITUATIONS: dict[str, tuple[Callable[[Path, str], None], bool, bool]] = {
    "the run is in the trash": (put_into_the_trash, True, True),
    "the run is deleted for good": (delete_for_good, True, False),
    "the experiment is in the trash": (delete_experiment, True, True),
    "the experiment has another name": (rename_experiment, False, True),
    "the database is lost": (lose, True, False),
}
"""What happens; whether the history is incomplete then; whether it is the same MLflow run afterwards."""


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_history_that_was_lost_is_sent_again_and_never_said_to_be_complete_meanwhile(situation: str, folder: Path) -> None:
    database = folder.parents[1] / "mlflow.db"
    happens, loses, same = SITUATIONS[situation]
    before = assert_shown(database, folder)
    happens(database, before)
    assert is_complete(folder) is not loses
    send(folder)
    assert (assert_shown(database, folder) == before) is same


def test_an_older_backup_gets_the_points_that_it_lacks(home: Path) -> None:
    folder, database = workspace(home, RUN, steps=2), home / "mlflow.db"
    with tracked(folder, RUN, "a-flow-run"):
        until(lambda: (folder / "journal/tracking.json").exists() and bool(state_of(folder)["shown"]))
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(home / "backup.db")) as target:
            source.backup(target)
        add_steps(folder, 2, 5)
    before = assert_shown(database, folder)
    shutil.copyfile(home / "backup.db", database)
    assert not is_complete(folder)
    send(folder)
    assert assert_shown(database, folder) == before


def test_a_database_that_is_lost_while_the_run_goes_on_is_made_anew_with_all_points(home: Path) -> None:
    folder, database = workspace(home, RUN, steps=2), home / "mlflow.db"
    with tracked(folder, RUN, "a-flow-run"):
        until(lambda: (folder / "journal/tracking.json").exists() and bool(state_of(folder)["shown"]))
        database.unlink()
        add_steps(folder, 2, 5)
    assert_shown(database, folder)


def test_a_run_that_is_put_into_the_trash_while_it_goes_on_comes_out_of_it(home: Path) -> None:
    folder, database = workspace(home, RUN, steps=2), home / "mlflow.db"
    with tracked(folder, RUN, "a-flow-run"):
        until(lambda: (folder / "journal/tracking.json").exists() and bool(state_of(folder)["shown"]))
        put_into_the_trash(database, state_of(folder)["run_id"])
        add_steps(folder, 2, 5)
    assert_shown(database, folder)


def test_a_deleted_experiment_comes_back_with_this_run_alone(folder: Path) -> None:
    database = folder.parents[1] / "mlflow.db"
    other = workspace(folder.parents[1], "tiny-22222222")
    send(other)
    delete_experiment(database, state_of(folder)["run_id"])
    send(folder)
    assert_shown(database, folder)
    assert client_of(database).get_run(state_of(other)["run_id"]).info.lifecycle_stage == "deleted"
    assert not is_complete(other)


def test_another_address_gets_all_of_it_and_the_first_still_has_it(
    folder: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folder.parents[1]
    shutil.copyfile(template, home / "another.db")
    first = state_of(folder)["run_id"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'another.db'}")
    assert not is_complete(folder)
    send(folder)
    assert assert_shown(home / "another.db", folder) != first
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert not is_complete(folder)
    send(folder)
    assert assert_shown(home / "mlflow.db", folder) == first


def test_a_copied_journal_is_no_other_runs_history(folder: Path) -> None:
    home = folder.parents[1]
    copy = home / "runs" / "tiny-99999999"
    shutil.copytree(folder, copy)
    add_steps(copy, 5, 7)
    send(copy)
    assert assert_shown(home / "mlflow.db", copy, steps=7) != assert_shown(home / "mlflow.db", folder)


@pytest.mark.parametrize("left", ['{"offsets": {"tra', '{"run_id": 3, "complete": "yes"}'])
def test_what_a_crash_left_of_the_notes_costs_nothing(left: str, folder: Path) -> None:
    database = folder.parents[1] / "mlflow.db"
    before = assert_shown(database, folder)
    (folder / "journal" / "tracking.json").write_text(left)
    (folder / "journal" / "mlflow_run").write_bytes(b"\xff\xfe")
    assert not is_complete(folder)
    send(folder)
    assert assert_shown(database, folder) == before


def test_a_line_that_cannot_be_shown_costs_no_other(home: Path) -> None:
    folder = workspace(home, RUN, steps=2)
    with (folder / "journal" / "train.metrics.jsonl").open("a") as stream:
        stream.write('{"step": 2, "time": 17000{"step": 2, "time": 1, "loss": 0.0}\n')  # torn, and then written on
        stream.write("[1]\n\n" + '{"step": null, "time": 1}\n{"step": 1e400, "time": 1}\n')
        stream.write(f'{{"step": {1 << 70}, "time": 5, "loss": 1.0}}\n' + "[" * 5000 + "\n")
        stream.write(json.dumps({"step": 1, "time": TIME, "x" * 300: 1.0, "norm": float("nan"), "scale": float("inf")}) + "\n")
        stream.write(lines(2, 5) + '{"step": 5, "ti')  # the last line is being written
    send(folder)
    run_id = assert_shown(home / "mlflow.db", folder)
    noted = state_of(folder)["skipped"]
    assert noted["train"]["count"] == 7
    assert noted["train"]["first"].startswith('{"step": 2, "time": 17000{')
    assert noted["metrics"]["count"] == 1
    shown = client_of(home / "mlflow.db").get_run(run_id).data.metrics
    assert shown["train/norm"] != shown["train/norm"]
    assert shown["train/scale"] > 1e300


def test_a_curve_that_was_written_anew_is_sent_from_its_beginning(folder: Path) -> None:
    path = folder / "journal" / "train.metrics.jsonl"
    path.write_text("".join(json.dumps({"step": n, "time": TIME + 9000 + n, "loss": 1.0}) + "\n" for n in range(9)))
    assert not is_complete(folder)
    send(folder)
    assert is_complete(folder)
    shown = losses(client_of(folder.parents[1] / "mlflow.db"), state_of(folder)["run_id"])
    assert [point for point in shown if point[1] == 1.0] == [(n, 1.0) for n in range(9)]


def test_a_locked_database_is_named_and_gets_the_rest_when_it_is_free(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = folder.parents[1] / "mlflow.db"
    add_steps(folder, 5, 7)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "another program holds the database locked" in refused(folder, capsys)
    send(folder)
    assert_shown(database, folder, steps=7)


def without_overriding() -> None:
    """As root, rights mean nothing: this process gives that up."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE


@pytest.mark.parametrize("place", ["mlflow.db", "."])
def test_a_database_that_may_not_be_written_is_named(place: str, home: Path) -> None:
    folder = workspace(home, RUN)
    (home / "mlflow.lock").touch()
    (home / place).chmod(0o444 if place == "mlflow.db" else 0o555)
    done = subprocess.run(
        [sys.executable, "-m", "infra.tracking.worker", str(folder), RUN, ""], env=tracking_environment(), text=True,
        input="FINISHED", capture_output=True, check=False, preexec_fn=without_overriding,
    )  # fmt: skip
    (home / place).chmod(0o755)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [state_of(folder)["reason"]]
    assert "cannot be written. Give this user the right to" in done.stdout
    assert not is_complete(folder)
    send(folder)
    assert_shown(home / "mlflow.db", folder)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as an MLflow of two years before made it."""
    from alembic import command
    from mlflow.store.db import utils
    from sqlalchemy import create_engine

    path = tmp_path_factory.mktemp("old") / "old.db"
    engine = create_engine(f"sqlite:///{path}")
    utils.InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        config = utils._get_alembic_config(f"sqlite:///{path}")
        config.attributes["connection"] = connection
        command.upgrade(config, OLD_SCHEMA)
    engine.dispose()
    return path


def test_an_older_database_of_the_user_is_left_as_it_is(
    home: Path, old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, folder = home / "theirs.db", workspace(home, RUN)
    shutil.copyfile(old, theirs)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{theirs}")
    line = refused(folder, capsys)
    assert f"run `mlflow db upgrade sqlite:///{theirs}`" in line
    assert theirs.read_bytes() == old.read_bytes()


def test_an_older_database_of_martlets_own_is_copied_and_upgraded(home: Path, old: Path) -> None:
    folder = workspace(home, RUN)
    shutil.copyfile(old, home / "mlflow.db")
    send(folder)
    assert_shown(home / "mlflow.db", folder)
    with closing(sqlite3.connect(home / f"mlflow.db.{OLD_SCHEMA}.backup")) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [(OLD_SCHEMA,)]


def test_a_database_of_a_newer_mlflow_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(folder.parents[1] / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        database.commit()
    add_steps(folder, 5, 6)
    assert "a newer MLflow than" in refused(folder, capsys)


@pytest.mark.parametrize("first", [0, 4096], ids=["its beginning", "all but its beginning"])
def test_a_damaged_database_is_named_and_left_as_it_is(
    first: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = folder.parents[1] / "mlflow.db"
    whole = database.read_bytes()
    damaged = whole[:first] + os.urandom(len(whole) - first)
    database.write_bytes(damaged)
    assert "the database is damaged" in refused(folder, capsys)
    assert database.read_bytes() == damaged
    database.unlink()
    send(folder)
    assert_shown(database, folder)
