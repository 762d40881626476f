"""Training's torch-free parts: rates, batches, metrics, and what is refused before a process starts."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.data.batches import BatchPlan
from components.data.token_shards import TokenShards
from components.errors import InputError, ParameterError, TokenizerMismatch, WorkerFailed
from components.formats.files import write_json
from components.tokenizers.conversion import write_fast_tokenizer
from components.tokenizers.fingerprint import read_tokenizer_fingerprint
from components.tokenizers.sentencepiece import NORMAL
from components.train.metrics import MetricsFile, deterministic, read_lines, write_lines
from components.train.passthrough import PassthroughTrainer
from components.train.schedules.cosine import CosineSchedule
from tests.support.builders.tiny_training import ARCHITECTURE, packer, prepare, trainer
from tests.support.builders.tokenizer_files import delay_merge
from tests.support.builders.vocabularies import JAPANESE, tiny_proto, train_proto, write_tokenizer
from tests.support.fakes import SITE, make_context

COSINE = CosineSchedule(kind="cosine")


@dataclass(frozen=True)
class Rates:
    """What a schedule moves between."""

    steps: int
    warmup_steps: int
    learning_rate: float
    minimum_learning_rate: float


SWALLOW_MS = Rates(steps=25_000, warmup_steps=1_000, learning_rate=2e-5, minimum_learning_rate=6.6e-7)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 6.6e-7), (500, (2e-5 + 6.6e-7) / 2), (1_000, 2e-5), (13_000, (2e-5 + 6.6e-7) / 2), (25_000, 6.6e-7)],
)
def test_the_rate_is_swallows_at_start_warm_up_midpoint_and_end(step: int, rate: float) -> None:
    assert COSINE.learning_rate(step, SWALLOW_MS) == pytest.approx(rate, rel=1e-12)


def test_the_rate_rises_to_the_maximum_and_then_only_falls() -> None:
    rates = [COSINE.learning_rate(step, SWALLOW_MS) for step in range(25_001)]
    assert rates[:1001] == sorted(rates[:1001])
    assert rates[1000:] == sorted(rates[1000:], reverse=True)


def test_without_warm_up_the_first_rate_is_the_maximum() -> None:
    assert COSINE.learning_rate(0, replace(SWALLOW_MS, warmup_steps=0)) == 2e-5


@given(micro=st.integers(1, 4), accumulation=st.integers(1, 4), processes=st.integers(1, 5), step=st.integers(0, 10**6))
def test_a_global_batch_is_the_same_set_at_any_number_of_processes(
    micro: int, accumulation: int, processes: int, step: int
) -> None:
    plan = BatchPlan(micro * accumulation * processes, micro, processes)
    assert plan.accumulation == accumulation
    dealt = [number for rank in range(processes) for samples in plan.samples(step, rank) for number in samples]
    first = step * plan.global_batch_size
    assert sorted(dealt) == list(range(first, first + plan.global_batch_size))


def test_a_batch_that_the_site_cannot_deal_out_is_refused_with_every_number(inputs: Path, tmp_path: Path) -> None:
    context = make_context(tmp_path, site=replace(SITE, train_processes=3, train_micro_batch_size=2))
    with pytest.raises(ParameterError, match=r"4 is not a multiple of 6: site 'test' has train_processes 3 × .*size 2"):
        trainer().run(context, model=inputs / "model", tokens=inputs / "tokens", output=tmp_path / "output")


def test_tokens_of_another_tokenizer_are_refused_before_a_process_starts(inputs: Path, tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "model", train_proto(JAPANESE, 480))
    words = r"tokenizer\.model is not the tokenizer of the tokens in .*'The martlet has no feet.*' gives .* strings differ"
    with pytest.raises(TokenizerMismatch, match=words):
        trainer().run(
            make_context(tmp_path), model=tmp_path / "model", tokens=inputs / "tokens", output=tmp_path / "output"
        )


@pytest.fixture
def both(inputs: Path, tmp_path: Path) -> Path:
    """The model folder with both tokenizer files."""
    shutil.copytree(inputs / "model", tmp_path / "model")
    write_fast_tokenizer(tmp_path / "model", 64)
    return tmp_path / "model"


def test_a_swapped_tokenizer_json_is_refused_before_a_process_starts(inputs: Path, both: Path, tmp_path: Path) -> None:
    delay_merge(both, "h", "e")
    with pytest.raises(TokenizerMismatch, match=r'tokenizer\.json is not the tokenizer of .*"def land\(height\).*" gives'):
        trainer().run(make_context(tmp_path), model=both, tokens=inputs / "tokens", output=tmp_path / "output")


def test_one_more_piece_than_was_packed_with_is_refused(inputs: Path, tmp_path: Path) -> None:
    proto = tiny_proto()
    proto.pieces.add(piece="ヮヮヮ", score=-9999.0, type=NORMAL)
    write_tokenizer(tmp_path / "model", proto)
    with pytest.raises(TokenizerMismatch, match=rf"number of pieces is {len(proto.pieces)}, expected {len(proto.pieces) - 1}"):
        trainer().run(make_context(tmp_path), model=tmp_path / "model", tokens=inputs / "tokens", output=tmp_path / "output")


def test_other_bytes_of_the_same_tokenizer_are_said_and_trained_with(inputs: Path, both: Path, tmp_path: Path) -> None:
    proto = tiny_proto()
    proto.trainer_spec.model_prefix = "renamed"
    write_tokenizer(both, proto)
    context = make_context(tmp_path)
    with pytest.raises(WorkerFailed, match="not expected to start"):
        trainer().run(context, model=both, tokens=inputs / "tokens", output=tmp_path / "output")
    assert [line for line in context.journal.lines if "other bytes than at packing" in line]  # type: ignore[attr-defined]


def test_the_fingerprint_of_the_tokens_tokenizer_goes_with_the_model(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match="not expected to start"):
        trainer().run(make_context(tmp_path), model=inputs / "model", tokens=inputs / "tokens", output=tmp_path / "output")
    assert read_tokenizer_fingerprint(tmp_path / "output") == TokenShards(inputs / "tokens").index.tokenizer_fingerprint


def test_tokens_whose_documents_lost_their_bos_are_refused(inputs: Path, tmp_path: Path) -> None:
    tokens = shutil.copytree(inputs / "tokens", tmp_path / "tokens")
    index = json.loads((tokens / "index.json").read_text())
    index["sources"][0]["bos_fraction"] = 0.5
    write_json(tokens / "index.json", index)
    with pytest.raises(InputError, match=r"50\.00% of the 12 documents of 'ja/\*' start with BOS"):
        trainer().run(make_context(tmp_path), model=inputs / "model", tokens=tokens, output=tmp_path / "output")


def test_a_model_with_other_rows_than_pieces_is_refused_with_both_numbers(inputs: Path, tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    model = tmp_path / "model"
    model.mkdir()
    (model / "tokenizer.model").write_bytes((inputs / "model/tokenizer.model").read_bytes())
    write_json(model / "config.json", {})
    save_file({"model.embed_tokens.weight": np.zeros((123, 8), dtype=np.float32)}, model / "model.safetensors")
    (model / "config.json").write_text('{"vocab_size": 123}', encoding="utf-8")
    with pytest.raises(TokenizerMismatch, match=r"4\d\d pieces but the embedding has 123 rows"):
        trainer(architecture=None).run(
            make_context(tmp_path), model=model, tokens=inputs / "tokens", output=tmp_path / "output"
        )


def test_tokens_packed_for_another_length_are_refused_with_both_numbers(inputs: Path, tmp_path: Path) -> None:
    site = replace(SITE, workers=1)
    packer(sequence_length=16).run(
        make_context(tmp_path, site=site), text=inputs / "text", model=inputs / "model", output=tmp_path / "tokens"
    )
    with pytest.raises(InputError, match=r"sequence_length of 16, but training asks for 32"):
        trainer().run(
            make_context(tmp_path), model=inputs / "model", tokens=tmp_path / "tokens", output=tmp_path / "output"
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"warmup_steps": 16}, "warmup_steps 16 must be fewer than steps 16"),
        ({"minimum_learning_rate": 0.1}, "exceeds learning_rate"),
        ({"maximum_positions": 31}, "sequence_length 32 exceeds maximum_positions 31"),
        ({"zero_stage": 4}, "Input should be 1, 2 or 3"),
        ({"precision": "fp16"}, "Input should be 'bf16', 'pure_bf16' or 'fp32'"),
        ({"attention": "masked"}, "Input should be 'across_documents' or 'within_documents'"),
        ({"z_loss": 0.0}, "greater than 0"),
        ({"router_auxiliary_loss": -0.02}, "greater than 0"),
        ({"adam_betas": [0.9, 1.0]}, r"adam_betas \[0.9, 1.0\] must be two numbers from 0 to below 1"),
        ({"router_auxiliary_loss": 0.02}, "architecture.experts is null"),
        ({"architecture": ARCHITECTURE | {"heads": 5}}, "hidden_size 32 must be a multiple of heads 5"),
        ({"architecture": ARCHITECTURE | {"experts": 8}}, "both numbers .* or both null"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        trainer(**changes)


def line(step: int, loss: float = 2.5) -> dict[str, object]:
    return {"step": step, "time": 1, "loss": loss, "learning_rate": 0.1, "gradient_norm": 1.5}


def test_a_step_is_written_once_and_compared_when_it_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path)
    assert [first.add(line(step)) for step in range(3)] == [None, None, None]
    again = MetricsFile(path)
    assert again.add(line(1) | {"time": 99}) is None
    warning = again.add(line(2, loss=2.75))
    assert warning is not None
    assert "step 2 came out differently" in warning
    assert "loss 2.5 → 2.75" in warning
    again.add(line(3))
    assert [json.loads(text)["step"] for text in path.read_text().splitlines()] == [0, 1, 2, 3]


def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    MetricsFile(path).add(line(0))
    with path.open("a") as stream:
        stream.write('{"step": 1, "lo')
    metrics = MetricsFile(path)
    metrics.add(line(1))
    assert [json.loads(text)["step"] for text in path.read_text().splitlines()] == [0, 1]


@given(loss=st.floats(allow_nan=False, allow_infinity=False))
def test_losses_survive_the_file_exactly(loss: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("losses") / "losses.jsonl"
    write_lines(path, [line(0, loss)])
    (found,) = read_lines(path)
    assert deterministic(found) == {"step": 0, "loss": loss, "learning_rate": 0.1, "gradient_norm": 1.5}


def test_metrics_of_another_computation_are_not_gone_on_with(inputs: Path, tmp_path: Path) -> None:
    context = make_context(tmp_path)
    context.journal.metrics.write_text(json.dumps(line(0)) + "\n")
    with pytest.raises(WorkerFailed, match="not expected to start"):
        trainer().run(context, model=inputs / "model", tokens=inputs / "tokens", output=tmp_path / "output")
    assert not context.journal.metrics.exists()


def test_kept_weights_are_passed_through_byte_for_byte(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    model = tmp_path / "model"
    model.mkdir()
    write_json(model / "config.json", {"architectures": ["MistralForCausalLM"]})
    keep = PassthroughTrainer(kind="passthrough", version=1)
    with pytest.raises(InputError, match="to keep"):
        keep.run(make_context(tmp_path), model=model, tokens=tmp_path, output=tmp_path / "output")
    save_file({"lm_head.weight": np.ones((3, 2), dtype=np.float32)}, model / "model.safetensors")
    report = keep.run(make_context(tmp_path), model=model, tokens=tmp_path, output=tmp_path / "output")
    assert report.parameters == 6
    assert (tmp_path / "output/model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert (tmp_path / "output/losses.jsonl").read_text() == ""
