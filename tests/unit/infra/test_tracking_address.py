"""An address of MLflow is split into what may be shown and what may not."""

from pathlib import Path

import pytest

from infra.tracking.address import read_address

HERE = Path("/here")


@pytest.mark.parametrize(
    ("uri", "for_mlflow", "shown"),
    [
        ("http://me:s%3Acret@host:5000/", "http://host:5000", "http://host:5000"),
        ("https://host/mlflow/#/experiments/1", "https://host/mlflow", "https://host/mlflow"),
        (" http://host \n", "http://host", "http://host"),
        ("sqlite:///mlflow.db", "sqlite:////here/mlflow.db", "sqlite:////here/mlflow.db"),
        ("sqlite:////there/mlflow.db", "sqlite:////there/mlflow.db", "sqlite:////there/mlflow.db"),
        ("postgresql://me:secret@host/mlflow", "postgresql://me:secret@host/mlflow", "postgresql://host/mlflow"),
        ("databricks", "databricks", "databricks"),
    ],
)
def test_an_address_is_shown_without_credentials(uri: str, for_mlflow: str, shown: str) -> None:
    address = read_address(uri, HERE)
    assert (address.uri, address.shown) == (for_mlflow, shown)


def test_credentials_of_a_servers_address_go_where_mlflow_reads_them_from() -> None:
    variables = read_address("http://me:s%3Acret@host", HERE).environment()
    assert variables == {
        "MLFLOW_TRACKING_URI": "http://host", "MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "s:cret",
    }  # fmt: skip


def test_a_message_is_shown_without_credentials() -> None:
    address = read_address("postgresql://me:se%20cret@host/mlflow", HERE)
    said = "could not connect to postgresql://me:se%20cret@host/mlflow: password 'se cret' is wrong"
    assert address.scrub(said) == "could not connect to postgresql://host/mlflow: password '***' is wrong"
