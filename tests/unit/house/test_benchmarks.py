"""A benchmark that cannot run says why in one message."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, main


def test_every_benchmark_has_its_name() -> None:
    modules = Path("benchmarks").glob("[!_]*.py")
    assert sorted(path.stem for path in modules if "\ndef figures(" in path.read_text(encoding="utf-8")) == list(NAMES)


def test_an_unknown_name_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(SystemExit, match=r"no benchmark 'tokeniser'\. Name one of: again, .*tokenizer"):
        main(["tokeniser"])


def test_what_a_benchmark_lacks_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("MARTLET_DATA", raising=False)
    with pytest.raises(SystemExit, match=r"^error: this machine has no apt-get"):
        main(["tokenizer"])


@pytest.mark.parametrize(("passes", "code"), [([True, True], 0), ([True, False], 1), ([False, True], 1)])
def test_standard_output_holds_the_figures_alone_and_any_that_falls_short_fails(
    passes: list[bool], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures() -> Iterator[dict[str, object] | str]:
        for number, passed in enumerate(passes):
            sys.stdout.write("a stage's words\n")
            yield {"bench": f"平仮名-{number}", "pass": passed}
        yield {"bench": "stated"}
        yield "| a table |"

    monkeypatch.setattr("benchmarks.tokenizer.figures", figures)
    assert main(["tokenizer"]) == code
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [json.loads(line)["bench"] for line in lines[:-1]] == ["平仮名-0", "平仮名-1", "stated"]
    assert lines[-1] == "| a table |"
    assert err == "a stage's words\n" * 2
