"""What `martlet batch` says a step saw is what went into the model, token by token, from the clean text on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from components.data.batches import BatchPlan
from components.data.documents import read_documents, training_files
from components.tokenizers.piece_bytes import piece_bytes, write_piece_bytes
from components.tokenizers.special_tokens import document_tokenizer
from flows.commands.batches import open_training
from tests.support.builders.tiny_runs import make_run
from tests.support.builders.tiny_training import context_of, prepare, trainer

FIELDS = {"steps": 3, "warmup_steps": 1, "skip_batches": [[1, 3]], "checkpoint_every_steps": 100}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_printed_batch_is_what_the_step_consumed(
    processes: int, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARTLET_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(Path(__file__).parent)
    make_run(tmp_path / "home", inputs, "tiny-0123abcd", **FIELDS)
    training = replace(open_training("tiny", "train"), plan=BatchPlan(4, 2, processes))
    context, component = context_of(tmp_path, processes, micro_batch_size=2), trainer(**FIELDS)
    made = component._request(context, inputs / "model", inputs / "tokens")
    write_piece_bytes(context.scratch, piece_bytes(inputs / "model"))
    (tmp_path / "request.json").write_text(made.model_dump_json())
    worker, told = "tests.support.ranks.batch_worker", str(tmp_path / "request.json")
    context.launcher.run(worker, [told], processes=processes, environment={})
    tokenizer = document_tokenizer(inputs / "model")
    documents = [each for path in training_files(inputs / "text", "*/*") for each in read_documents(path)]
    tokens = dict(zip(
        (document.id for document in documents),
        tokenizer.encode_documents([document.text for document in documents]), strict=True,
    ))
    for rank in range(processes):
        eaten = load_file(tmp_path / f"scratch/eaten-{rank}.safetensors")
        assert [json.loads(step) for step in sorted(eaten)] == [0, 1, 2]
        for step in range(3):
            batch = training.batch(step, rank)
            assert batch.batch == (0, 4, 5)[step]
            told = [
                np.concatenate([tokens[span.document][span.first : span.first + span.tokens] for span in sample.spans])
                for sample in batch.samples
            ]
            assert [each[:-1].tolist() for each in told] == eaten[f"{step}"].tolist()
