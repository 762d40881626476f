"""Two tiny models are scored end to end by lm-eval itself: offline, repeatably, by any number of processes, killed or not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from components.data.documents import Document, write_documents
from components.errors import EmptyCorpus, InputError, TokenizerMismatch, WorkerFailed
from components.evaluate.contract import EvaluateReport
from components.formats.digests import digest_folder
from components.formats.scores import BASE, TRAINED, read_scores
from components.tokenizers.fingerprint import write_tokenizer_fingerprint
from components.tokenizers.special_tokens import folder_tokenizer_fingerprint
from tests.support.builders.tiny_models import write_model
from tests.support.builders.tokenizer_files import edit_fast_tokenizer
from tests.support.fakes import FakeJournal, NoLauncher, RanksHere
from tests.support.ranks import evaluating
from tests.support.ranks.evaluating import SMOKE

MEASUREMENTS = 10
TEXTS = {
    "ja": ("パッケージは依存関係を宣言し、管理の道具がそれを順に解決していく。", "五線譜には音の高さと長さを書き込む。"),
    "en": ("A package declares what it depends on, and the tools install that first.", "Each bar of the score has four beats."),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model, a trained model, and held-out text in both languages."""
    folder = tmp_path_factory.mktemp("inputs")
    write_model(folder / "base", 1)
    write_model(folder / "model", 2)
    for language, texts in TEXTS.items():
        documents = [
            Document(id=f"{number:016x}", source="manual", language=language, uri=f"file:{number}", text=text * 20)
            for number, text in enumerate(texts)
        ]
        write_documents(folder / "text/heldout" / f"{language}.jsonl.gz", documents)
    return folder


def evaluate(inputs: Path, folder: Path, **changes: Any) -> tuple[EvaluateReport, Path, FakeJournal]:
    """One evaluation, its ranks in this process."""
    return evaluating.evaluate(inputs, folder, RanksHere(), **changes)


def only(*names: str) -> list[dict[str, Any]]:
    """Some of the smoke's tasks."""
    return [task for task in SMOKE["tasks"] if task["name"] in names]


def results(folder: Path) -> dict[str, int]:
    """The measurements that are made, and when."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("scratch/results/[!.]*.json")}


def wait_for(folder: Path, count: int) -> None:
    """Waits until so many measurements are made."""
    until = time.monotonic() + 300
    while len(results(folder)) < count:
        assert time.monotonic() < until, "no measurement in five minutes"
        time.sleep(0.001)


@pytest.fixture(scope="module")
def evaluated(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[EvaluateReport, Path, FakeJournal]:
    return evaluate(inputs, tmp_path_factory.mktemp("first"))


def test_every_task_is_scored_for_both_models_base_first(evaluated: tuple[EvaluateReport, Path, FakeJournal]) -> None:
    report, output, journal = evaluated
    scores = read_scores(output)
    assert [task.name for task in scores.tasks] == ["jcommonsenseqa", "niilc", "openbookqa"]
    assert all(0 <= score.value <= 1 for task in scores.tasks for score in task.scores.values())
    assert report.base.keys() == report.model.keys() == {"jcommonsenseqa", "niilc", "openbookqa"}
    assert {text.language: text.characters for text in scores.text} == {"ja": 1000, "en": 1000}
    assert report.base_bits_per_byte["ja"] != report.model_bits_per_byte["ja"]
    said = [line for line in journal.lines if " on 20 items" in line]
    assert [line.split(":")[0] for line in said] == [BASE] * 3 + [TRAINED] * 3


def test_a_sample_is_kept_for_every_item_and_the_mean_of_their_scores_is_the_score(
    evaluated: tuple[EvaluateReport, Path, FakeJournal]
) -> None:
    report, output, _ = evaluated
    for task, score in report.model.items():
        lines = (output / "samples/model" / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()
        samples = [json.loads(line) for line in lines]
        assert [sample["item"] for sample in samples] == list(range(20))
        assert sum(sample["score"] for sample in samples) / 20 == pytest.approx(score, abs=1e-6)
        assert all({"prompt", "target", "output"} <= sample.keys() for sample in samples)


def test_a_prompt_ends_as_the_protocol_has_it(evaluated: tuple[EvaluateReport, Path, FakeJournal]) -> None:
    first = (evaluated[1] / "samples/base/jcommonsenseqa.jsonl").read_text(encoding="utf-8").splitlines()[0]
    prompt = json.loads(first)["prompt"]
    assert prompt.count("### 入力：") == 3
    assert prompt.endswith("\n### 回答：\n")


def test_the_table_shows_both_models_shots_and_the_change(evaluated: tuple[EvaluateReport, Path, FakeJournal]) -> None:
    report, output, _ = evaluated
    table = (output / "scores.md").read_text(encoding="utf-8")
    assert "| shots | 2-shot | 2-shot | 2-shot |" in table
    assert f"| trained | {report.model['jcommonsenseqa']:.4f}" in table
    change = report.model_bits_per_byte["ja"] - report.base_bits_per_byte["ja"]
    assert f"{change:+.4f} |" in table


def test_three_processes_give_the_same_bytes_as_one(
    inputs: Path, evaluated: tuple[EvaluateReport, Path, FakeJournal], tmp_path: Path
) -> None:
    _, again, _ = evaluate(inputs, tmp_path, processes=3)
    assert digest_folder(again) == digest_folder(evaluated[1])


def test_killed_midway_and_started_again_two_processes_measure_the_rest_and_give_the_same_bytes(
    inputs: Path, evaluated: tuple[EvaluateReport, Path, FakeJournal], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.support.ranks.evaluating", str(inputs), str(tmp_path)]
    stage = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(tmp_path, 2)
    finally:
        stage.kill()
        stage.wait()
    made = results(tmp_path)
    assert 2 <= len(made) < MEASUREMENTS
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("no torch\n")
    after = results(tmp_path)
    assert len(after) == MEASUREMENTS
    assert {name: after[name] for name in made} == made
    assert digest_folder(tmp_path / "output") == digest_folder(evaluated[1])


class InterruptedRanks(RanksHere):
    """Ranks that get a SIGTERM when the first measurement of `folder` is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self, module: str, arguments: Sequence[str], *, processes: int, environment: Mapping[str, str],
        outcome: Path | None = None,
    ) -> None:
        thread = threading.Thread(target=self.interrupt)
        thread.start()
        super().run(module, arguments, processes=processes, environment=environment, outcome=outcome)
        thread.join()

    def interrupt(self) -> None:
        wait_for(self.folder, 1)
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_ends_it_after_the_batch_with_an_outcome_that_says_so(inputs: Path, tmp_path: Path) -> None:
    words = r"stopped by SIGTERM with \d of 8 measurements left; .* run the same command again to continue"
    with pytest.raises(WorkerFailed, match=words):
        evaluating.evaluate(inputs, tmp_path, InterruptedRanks(tmp_path), tasks=only("openbookqa", "jcommonsenseqa"))
    outcome = json.loads((tmp_path / "scratch/outcome.json").read_text(encoding="utf-8"))
    assert outcome == {"finished": False, "signal": "SIGTERM", "done": None}
    assert len(results(tmp_path)) >= 1


def test_what_is_measured_is_not_measured_again_unless_an_item_changed(inputs: Path, tmp_path: Path) -> None:
    items = shutil.copytree(SMOKE["items"], tmp_path / "items")
    changes: dict[str, Any] = {"items": str(items), "tasks": only("jcommonsenseqa")}
    evaluate(inputs, tmp_path, **changes)
    _, output, journal = evaluating.evaluate(inputs, tmp_path, NoLauncher(), **changes)
    assert "resuming, 4 of 4 measurements are made" in journal.lines
    path = items / "jcommonsenseqa/test.jsonl"
    item, *others = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([json.dumps(json.loads(item) | {"label": 7}), *others]), encoding="utf-8")
    evaluate(inputs, tmp_path, **changes)
    for model in (BASE, TRAINED):
        first = (output / "samples" / model / "jcommonsenseqa.jsonl").read_text(encoding="utf-8").splitlines()[0]
        assert json.loads(first)["target"] == "7"


def test_scores_do_not_depend_on_the_batch_size(
    inputs: Path, evaluated: tuple[EvaluateReport, Path, FakeJournal], tmp_path: Path
) -> None:
    other, _, _ = evaluate(inputs, tmp_path, batch_size=7)
    report = evaluated[0]
    assert other.base_bits_per_byte == pytest.approx(report.base_bits_per_byte, abs=1e-5)
    assert other.model == pytest.approx(report.model, abs=0.01)


def test_prompts_that_do_not_fit_are_counted_and_said(inputs: Path, tmp_path: Path) -> None:
    _, output, journal = evaluate(inputs, tmp_path, maximum_length=512, tasks=only("jcommonsenseqa"))
    assert read_scores(output).tasks[0].scores[BASE].truncated == 20
    assert any("20 prompts lost their beginning" in line for line in journal.lines)


def test_a_tokenizer_of_another_model_is_refused_before_anything_is_loaded(inputs: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "base", 1, vocab_size=300)
    for name in ("model", "text"):
        (tmp_path / name).symlink_to(inputs / name)
    with pytest.raises(TokenizerMismatch, match="259 pieces but the embedding has 300 rows"):
        evaluate(tmp_path, tmp_path)


def test_a_model_whose_tokenizer_was_changed_since_its_training_is_refused_before_anything_is_loaded(
    inputs: Path, tmp_path: Path
) -> None:
    for name in ("base", "text"):
        (tmp_path / name).symlink_to(inputs / name)
    model = shutil.copytree(inputs / "model", tmp_path / "model")
    write_tokenizer_fingerprint(model, folder_tokenizer_fingerprint(model))
    edit_fast_tokenizer(model, lambda values: values["pre_tokenizer"].update(add_prefix_space=True))
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}), encoding="utf-8")  # fails to load
    with pytest.raises(TokenizerMismatch, match=r"'The martlet has no feet.*' gives \d+ ids \["):
        evaluate(tmp_path, tmp_path)


def test_a_model_without_a_fingerprint_is_evaluated_and_said(evaluated: tuple[EvaluateReport, Path, FakeJournal]) -> None:
    said = [line for line in evaluated[2].lines if "has no tokenizer_fingerprint.json" in line]
    assert [line.split(" has no")[0].rsplit("/")[-1] for line in said] == ["base", "model"]


def test_a_model_without_its_tokenizer_is_refused(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text("{}", encoding="utf-8")
    for name in ("model", "text"):
        (tmp_path / name).symlink_to(inputs / name)
    with pytest.raises(InputError, match=r"has no tokenizer\.json"):
        evaluate(tmp_path, tmp_path)


def test_a_language_without_held_out_text_is_refused(inputs: Path, tmp_path: Path) -> None:
    tasks = [SMOKE["tasks"][0] | {"language": "ko"}]
    with pytest.raises(EmptyCorpus, match="no held-out 'ko' text"):
        evaluate(inputs, tmp_path, tasks=tasks)


def test_evaluation_reaches_no_network_and_leaves_the_home_folder_alone(inputs: Path, tmp_path: Path) -> None:
    program = (
        "import socket, sys; from pathlib import Path\n"
        "def refuse(*_): raise AssertionError('a connection was tried')\n"
        "socket.socket.connect = refuse\n"
        "from tests.integration.evaluate.test_evaluate import evaluate, only\n"
        "evaluate(Path(sys.argv[1]), Path(sys.argv[2]), tasks=only('openbookqa'))\n"
    )
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "XDG_"))}
    arguments = [sys.executable, "-c", program, str(inputs), str(work)]
    ended = subprocess.run(
        arguments, env=environment | {"HOME": str(home), "MPLCONFIGDIR": str(tmp_path / "fonts")}, text=True,
        capture_output=True, check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert list(home.rglob("*")) == []
    assert not list((work / "scratch").glob("datasets-*"))
