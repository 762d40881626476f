"""`martlet batch` and `martlet find`: each is the other's inverse, and every mistake is one message."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.data.batches import batch_at
from components.data.documents import Document, document_id, write_documents
from components.data.token_shards import TokenShards
from components.errors import MartletError
from flows.cli import app
from tests.support.builders.texts import JAPANESE, prose
from tests.support.builders.tiny_runs import HELD_OUT, make_run
from tests.support.builders.tiny_training import packer, write_text_and_model
from tests.support.fakes import make_context

RUN, STEPS, SKIPPED = "tiny-0123abcd", 12, [[1, 2], [5, 5]]
URI = "https://example.org/燕"
NAMED = Document(id=document_id("prose", URI), source="prose", language="ja", uri=URI, text=prose(JAPANESE, 99, 9))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for MARTLET_HOME with one run; one of its documents has an id as `clean` makes it."""
    inputs = tmp_path_factory.mktemp("inputs")
    write_text_and_model(inputs)
    write_documents(inputs / "text/train/ja/named.jsonl.gz", [NAMED])
    packer().run(make_context(inputs), text=inputs / "text", model=inputs / "model", output=inputs / "tokens")
    home = tmp_path_factory.mktemp("home")
    make_run(home, inputs, RUN, steps=STEPS, skip_batches=SKIPPED)
    return home


def martlet(home: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What the command prints; its error is raised."""
    monkeypatch.setenv("MARTLET_HOME", str(home))
    monkeypatch.chdir(Path(__file__).parent)
    done = CliRunner().invoke(app, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def batch(home: Path, monkeypatch: pytest.MonkeyPatch, step: int, *words: str) -> Any:
    return json.loads(martlet(home, monkeypatch, "batch", RUN, "--step", str(step), "--json", *words))


def find(home: Path, monkeypatch: pytest.MonkeyPatch, document: str) -> Any:
    return json.loads(martlet(home, monkeypatch, "find", RUN, "--document", document, "--json"))


def test_a_step_shows_its_global_batch_dealt_to_two_ranks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = TokenShards(home / "runs" / RUN / "artifacts/pack")
    found = batch(home, monkeypatch, 3)
    assert (found["run"], found["stage"], found["step"], found["batch"]) == (RUN, "train", 3, batch_at(3, SKIPPED))
    assert found["batch"] == 6
    seats = [(sample["rank"], sample["position"], sample["sample"]) for sample in found["samples"]]
    assert seats == [(0, 0, 24), (0, 1, 25), (1, 0, 26), (1, 1, 27)]
    for sample in found["samples"]:
        assert sample["tokens"] == sum(span["tokens"] for span in sample["spans"]) == shards.index.sequence_length + 1
        assert sample["source"] in {"ja/*", "en/*"}
        assert sample["text"]
    assert batch(home, monkeypatch, 3, "--rank", "1")["samples"] == found["samples"][2:]


def test_a_document_is_found_in_exactly_the_steps_that_show_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, list[dict[str, Any]]] = {}
    for step in range(STEPS):
        for sample in batch(home, monkeypatch, step)["samples"]:
            seat = {key: sample[key] for key in ("rank", "position", "sample", "source", "epoch")}
            for span in sample["spans"]:
                fact = {"step": step, **seat, "first": span["first"], "tokens": span["tokens"]}
                shown.setdefault(span["document"], []).append(fact)
    assert len(shown) > 10
    for document, facts in shown.items():
        assert find(home, monkeypatch, document)["seen"] == sorted(facts, key=lambda fact: fact["sample"])


def test_a_uri_leads_to_its_document(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_uri, by_id = find(home, monkeypatch, URI), find(home, monkeypatch, NAMED.id)
    assert by_uri == by_id
    assert by_uri["document"] == NAMED.id


def test_tables_name_documents_and_steps(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = batch(home, monkeypatch, 0)
    words = martlet(home, monkeypatch, "batch", "tiny", "--step", "0")
    assert all(span["document"] in words for sample in found["samples"] for span in sample["spans"])
    assert f"{RUN}, train, step 0: 4 samples" in words
    document = found["samples"][0]["spans"][0]["document"]
    words = martlet(home, monkeypatch, "find", "tiny", "--document", document)
    assert f"{RUN}, train: document {document}" in words
    assert f"of the {STEPS} steps" in words


@pytest.mark.parametrize(("command", "words"), [
    (["batch", "huge", "--step", "0"], rf"there is no run 'huge'\. There are: {RUN}"),
    (["batch", RUN, "--step", str(STEPS)], r"has no step 12 of train: its 12 steps are numbered from 0 to 11\."),
    (["batch", RUN, "--step", "-1"], r"has no step -1"),
    (["batch", RUN, "--step", "0", "--rank", "2"], r"there is no rank 2: this site has 2, from 0"),
    (["batch", RUN, "--step", "0", "--base"], r"trains nothing in train_base \(kind: passthrough\)"),
    (["find", RUN, "--document", "ffff"], r"there is no document ffff among the 25 that .* packed for train"),
    (["find", RUN, "--document", HELD_OUT.id], rf"{HELD_OUT.id} is held out in {RUN}: it is measured on, and no step sees it"),
])
def test_a_mistake_is_one_message(command: list[str], words: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MartletError, match=words):
        martlet(home, monkeypatch, *command)


def test_a_run_that_packed_nothing_yet_says_so(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (make_run(tmp_path, home, RUN) / "artifacts/pack").unlink()
    with pytest.raises(MartletError, match=r"has packed nothing yet: .*artifacts/pack does not exist"):
        martlet(tmp_path, monkeypatch, "batch", RUN, "--step", "0")


def test_of_a_recipes_runs_the_newest_is_meant(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    inputs = (home / "runs" / RUN / "artifacts/pack").resolve().parent
    for age, name in enumerate(["tiny-00000002", "tiny-00000001", "tiny-large-0000000f"]):
        os.utime(make_run(tmp_path, inputs, name), (10**9 - age, 10**9 - age))
    os.utime(tmp_path / "runs/tiny-large-0000000f", (2 * 10**9, 2 * 10**9))
    assert "tiny-00000002, train" in martlet(tmp_path, monkeypatch, "batch", "tiny", "--step", "0")
    assert "tiny-large-0000000f, train" in martlet(tmp_path, monkeypatch, "batch", "tiny-l", "--step", "0")
