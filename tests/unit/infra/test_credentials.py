"""A token, a key or an address that cannot be used is named by its variable, and never by its value."""

import os
from pathlib import Path

import pytest

from components.errors import SourceMissing
from infra.downloads.credentials import AWS_ADDRESSES, AWS_SECRETS, address_of, secret_of, tidy_aws_variables
from infra.downloads.hub import HuggingFaceHub
from infra.downloads.objects import S3Objects

TOKEN = "hf_abcdefgh"  # noqa: S105


@pytest.mark.parametrize("value", [TOKEN, f"{TOKEN}\n", f"  {TOKEN}\r\n", f"\t{TOKEN} "])
def test_white_space_around_a_token_is_dropped(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", value)
    secret = secret_of("HF_TOKEN")
    assert secret is not None
    assert secret.get_secret_value() == TOKEN
    assert TOKEN not in f"{secret!r} {secret}"


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_variable_is_an_absent_one(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", value)
    monkeypatch.setenv("HF_ENDPOINT", value)
    assert secret_of("HF_TOKEN") is None
    assert address_of("HF_ENDPOINT") is None


@pytest.mark.parametrize("value", [
    f'"{TOKEN}"', f"'{TOKEN}'", f"{TOKEN}\n{TOKEN}", f"{TOKEN} x", f"{TOKEN}\x1b", f"{TOKEN}\u200b",
    f"{TOKEN}é", f"Bearer {TOKEN}",
])
def test_a_token_that_cannot_be_one_is_named_and_not_shown(value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", value)
    with pytest.raises(SourceMissing, match=r"^HF_TOKEN ") as refused:
        HuggingFaceHub(tmp_path, "http://127.0.0.1:9").fetch("martlet/nest", "main", ["*"], tmp_path / "got", dataset=True)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("value", [
    "hub.example.org", "localhost:8080", "//hub.example.org", "ftp://hub.example.org", "https://", "https://a b",
    "https://hub:port", "http://[::1", "https://hub\x1b.example.org",
])
def test_an_address_that_is_none_is_named_with_the_form_it_should_have(
    value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(SourceMissing, match=r"^HF_ENDPOINT must be an address such as https://"):
        HuggingFaceHub(tmp_path).fetch("martlet/nest", "main", ["*"], tmp_path / "got", dataset=True)
    with pytest.raises(SourceMissing, match=r"^AWS_ENDPOINT_URL must be an address such as https://"):
        S3Objects(tmp_path).fetch("nest", "", tmp_path / "got")


def test_an_address_with_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "user:geheim@hub.example.org")
    with pytest.raises(SourceMissing) as refused:
        address_of("HF_ENDPOINT")
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("value", ["https://hub.example.org", "http://127.0.0.1:9000", "https://hub.example.org/path/"])
def test_an_address_is_taken_without_the_slash_and_space_at_its_end(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f" {value}\n")
    assert address_of("HF_ENDPOINT") == value.rstrip("/")


def test_what_boto3_reads_is_made_tidy(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in AWS_SECRETS:
        monkeypatch.setenv(variable, "testing\n")
    for variable in AWS_ADDRESSES:
        monkeypatch.setenv(variable, "http://127.0.0.1:9/\n")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1\n")
    tidy_aws_variables()
    assert {os.environ[variable] for variable in AWS_SECRETS} == {"testing"}
    assert {os.environ[variable] for variable in AWS_ADDRESSES} == {"http://127.0.0.1:9"}
    assert os.environ["AWS_DEFAULT_REGION"] == "us-east-1"
