"""What MARTLET_REMOTE may say, and how a run's `.dvc/config` keeps it."""

from pathlib import Path

import pytest

from components.errors import ParameterError
from infra.remote.address import normal_address, remote_in, write_remote

SHIPPED = Path(__file__).parents[3] / ".dvc/config"


@pytest.mark.parametrize(("said", "kept"), [
    ("s3://bucket/prefix/", "s3://bucket/prefix"),
    ("s3://bucket", "s3://bucket"),
    ("ssh://anna@host/data", "ssh://anna@host/data"),
    ("/data/with a space", "/data/with a space"),
    ("file:///data/martlet", "/data/martlet"),
])
def test_a_url_or_a_folder_is_kept(said: str, kept: str) -> None:
    assert normal_address(said) == kept


def test_a_folder_is_meant_from_where_the_command_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert normal_address("../results") == str(tmp_path / "../results")


@pytest.mark.parametrize(("said", "words"), [
    ("ssh://anna:secret@host/data", "holds a password or a query"),
    ("https://host/data?token=secret", "holds a password or a query"),
    ("s3://bucket/a#b", "holds '#'"),
    ("s3://bucket/a\nb", "holds '\\\\n'"),
])
def test_what_must_not_be_committed_is_refused_and_not_repeated(said: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words) as refused:
        normal_address(said)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "/data/with a space", "ssh://anna@host/data"])
def test_dvc_reads_the_remote_that_is_written_and_every_other_line_stays(tmp_path: Path, url: str) -> None:
    from dvc.config import Config

    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_bytes(SHIPPED.read_bytes())
    assert remote_in(tmp_path) == {}
    write_remote(tmp_path, "s3://an/earlier/one")
    write_remote(tmp_path, url)
    assert remote_in(tmp_path) == {"url": url, "verify": "true"}
    read = Config(dvc_dir=str(tmp_path / ".dvc")).load_one("repo")
    assert read["core"] == {"remote": "results", "analytics": "false", "check_update": "false", "autostage": "false"}
    assert read["remote"]["results"] == {"url": url, "verify": "true"}


def test_a_remote_of_the_projects_own_is_read_with_its_options(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(
        "[core]\n    remote = ours\n['remote \"ours\"']\n    url = \"s3://ours/data\"\n    endpointurl = http://127.0.0.1:9\n"
        "['remote \"other\"']\n    url = ../there\n",
        encoding="utf-8",
    )
    assert remote_in(tmp_path) == {"url": "s3://ours/data", "endpointurl": "http://127.0.0.1:9"}
    text = (tmp_path / ".dvc/config").read_text(encoding="utf-8").replace("remote = ours", "remote = other")
    (tmp_path / ".dvc/config").write_text(text, encoding="utf-8")
    assert remote_in(tmp_path) == {"url": str(tmp_path / "there")}
