"""Each way in which a remote fails is one message that says what to do."""

import errno

import pytest

from infra.remote.store import RemoteRefused, RemoteStore, explain


@pytest.mark.parametrize(("url", "words"), [
    ("gs://bucket/data", r"DVC's plug-in for gs:// is not installed. Install it beside Martlet: `pip install 'dvc\[gs\]'`"),
    ("gopher://host/data", "Unsupported URL type gopher://"),
])
def test_a_url_that_cannot_be_opened_says_what_is_missing(url: str, words: str) -> None:
    with pytest.raises(RemoteRefused, match=words):
        RemoteStore({"url": url})


@pytest.mark.parametrize(("error", "words"), [
    (OSError(errno.ENOSPC, "No space left on device"), "it is full"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "it is full"),
    (PermissionError("Forbidden"), "it refuses these keys"),
    (TimeoutError(), "it did not answer in time"),
    (ConnectionResetError("Connection reset by peer"), "Connection reset by peer"),
    (ValueError(), "ValueError"),
])
def test_an_error_of_any_plug_in_is_explained(error: Exception, words: str) -> None:
    assert words in explain(error, "ssh")[0]


def test_a_cause_deeper_down_counts() -> None:
    error = RuntimeError("transfer failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert explain(error, "")[1] == "Free some space there, or have its quota raised."
