"""A benchmark that cannot run says why in one message."""

from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, main


def test_every_benchmark_has_its_name() -> None:
    modules = Path("benchmarks").glob("[!_]*.py")
    assert sorted(path.stem for path in modules if "\ndef main(" in path.read_text(encoding="utf-8")) == list(NAMES)


def test_an_unknown_name_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(SystemExit, match=r"no benchmark 'tokeniser'\. Name one of: again, .*tokenizer"):
        main(["tokeniser"])


def test_what_a_benchmark_lacks_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("MARTLET_DATA", raising=False)
    with pytest.raises(SystemExit, match=r"^error: this machine has no apt-get"):
        main(["tokenizer"])
