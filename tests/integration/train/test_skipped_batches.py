"""A training whose `skip_batches` changed goes on from before the change, and is the one that had them from the beginning."""

import json
from dataclasses import replace
from pathlib import Path

from components.formats.digests import digest_folder
from components.train.contract import TrainReport, WarmStart
from components.train.deepspeed import DeepSpeedTrainer
from tests.support.builders.tiny_training import context_of, prepare, trainer
from tests.support.fakes import FakeJournal

EVERYTHING = {"keep_checkpoints": {"last": 9, "every_steps": None, "best": False}}


def train(folder: Path, mark: str, component: DeepSpeedTrainer, *candidates: Path) -> tuple[TrainReport, list[str]]:
    """A whole training as a run of its own; its report, and what it said."""
    run = folder / mark
    context = replace(context_of(run, processes=2, micro_batch_size=2), fingerprint=mark * 64, warm_start_candidates=candidates)
    report = component.run(context, model=folder / "model", tokens=folder / "tokens", output=run / "output")
    assert isinstance(context.journal, FakeJournal)
    return report, context.journal.lines


def starts(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "scratch/starts.jsonl").read_text().splitlines()]


def test_a_training_with_batches_left_out_later_is_to_the_bit_the_one_without_them_from_the_beginning(tmp_path: Path) -> None:
    inputs = prepare(tmp_path)
    without = trainer(skip_batches=[[9, 10], [14, 14]], **EVERYTHING)
    before, _ = train(inputs, "a", trainer(**EVERYTHING))
    report, said = train(inputs, "b", without, inputs / "a/scratch")
    expected, _ = train(inputs, "c", without)
    assert any(words.startswith("resuming from step-00000008 of the training aaaaaaaaaaaaaaaa") for words in said)
    assert (starts(inputs / "b"), starts(inputs / "c")) == ([8], [0])
    assert digest_folder(inputs / "b/output") == digest_folder(inputs / "c/output")  # losses.jsonl and weights
    assert report == expected.model_copy(update={"warm_start": WarmStart(fingerprint="a" * 64, step=8)})
    assert (before.warm_start, expected.warm_start) == (None, None)
    assert before.last_loss != report.last_loss
    lines = [json.loads(line) for line in (inputs / "b/metrics.jsonl").read_text().splitlines()]
    assert [line["batch"] for line in lines] == [*range(9), 11, 12, 13, *range(15, 19)]
