"""Two tiny models are scored end to end by lm-eval itself: offline, repeatably, whatever the batch size."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import EmptyCorpus, InputError, TokenizerMismatch
from components.evaluate.contract import EvaluateReport
from components.evaluate.lm_eval import LMEvaluator
from components.formats.behaviour import write_behaviour
from components.formats.digests import digest_folder
from components.formats.documents import Document, write_documents
from components.formats.framing import folder_behaviour
from components.formats.scores import BASE, TRAINED, read_scores
from tests.fakes import SITE, FakeJournal, make_context
from tests.tiny_models import write_model
from tests.tokenizer_files import edit_fast_tokenizer

SMOKE = yaml.safe_load(Path("recipes/smoke.yaml").read_text(encoding="utf-8"))["evaluate"]
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


def evaluate(inputs: Path, folder: Path, batch_size: int = 4, **changes: Any) -> tuple[EvaluateReport, Path, FakeJournal]:
    """The report, the output folder and the journal of one evaluation with the smoke recipe's parameters."""
    journal = FakeJournal(folder)
    context = make_context(folder, journal=journal, site=replace(SITE, evaluate_batch_size=batch_size))
    evaluator = LMEvaluator.model_validate(SMOKE | {"maximum_length": 2048, "heldout_characters": 1000} | changes)
    output = folder / "output"
    report = evaluator.run(context, inputs / "model", inputs / "base", inputs / "text", output)
    return report, output, journal


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


def test_the_same_inputs_give_the_same_bytes(
    inputs: Path, evaluated: tuple[EvaluateReport, Path, FakeJournal], tmp_path: Path
) -> None:
    _, again, _ = evaluate(inputs, tmp_path)
    assert digest_folder(again) == digest_folder(evaluated[1])


def test_scores_do_not_depend_on_the_batch_size(
    inputs: Path, evaluated: tuple[EvaluateReport, Path, FakeJournal], tmp_path: Path
) -> None:
    other, _, _ = evaluate(inputs, tmp_path, batch_size=7)
    report = evaluated[0]
    assert other.base_bits_per_byte == pytest.approx(report.base_bits_per_byte, abs=1e-5)
    assert other.model == pytest.approx(report.model, abs=0.01)


def test_prompts_that_do_not_fit_are_counted_and_said(inputs: Path, tmp_path: Path) -> None:
    tasks = [task for task in SMOKE["tasks"] if task["name"] == "jcommonsenseqa"]
    _, output, journal = evaluate(inputs, tmp_path, maximum_length=512, tasks=tasks)
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
    write_behaviour(model, folder_behaviour(model))
    edit_fast_tokenizer(model, lambda values: values["pre_tokenizer"].update(add_prefix_space=True))
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}), encoding="utf-8")  # fails to load
    with pytest.raises(TokenizerMismatch, match=r"'The martlet has no feet.*' gives \d+ ids \["):
        evaluate(tmp_path, tmp_path)


def test_a_model_without_a_fingerprint_is_evaluated_and_said(evaluated: tuple[EvaluateReport, Path, FakeJournal]) -> None:
    said = [line for line in evaluated[2].lines if "has no tokenizer_behaviour.json" in line]
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
        "from tests.integration.test_evaluate import SMOKE, evaluate\n"
        "tasks = [task for task in SMOKE['tasks'] if task['name'] == 'openbookqa']\n"
        "evaluate(Path(sys.argv[1]), Path(sys.argv[2]), tasks=tasks)\n"
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
    assert list((work / "scratch").iterdir()) == []
