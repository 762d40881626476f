"""What is watched while a model trains: smoothed losses, spikes, and batches that are left out."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.data.batches import batch_at
from components.train.loop.spikes import FEWEST, SMOOTHING, THRESHOLD, WINDOW, LossWatch, with_batch
from tests.support.builders.tiny_training import trainer


def falling(count: int, seed: int = 0) -> list[float]:
    """Losses as a training has them: falling, and noisy."""
    noise = random.Random(seed)
    return [2 + 8 / (1 + step / 50) + noise.gauss(0, 0.05) for step in range(count)]


def line(step: int, loss: float, batch: int | None = None) -> dict[str, Any]:
    return {"step": step, "batch": step if batch is None else batch, "loss": loss, "gradient_norm": 1.5}


def judged(losses: list[float]) -> tuple[list[dict[str, Any]], list[str]]:
    watch, lines = LossWatch(4, ()), [line(step, loss) for step, loss in enumerate(losses)]
    words = [watch.judge(entry) for entry in lines]
    return lines, [text for text in words if text]


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_noise_on_a_falling_curve_is_no_spike(seed: int) -> None:
    lines, words = judged(falling(1000, seed))
    assert words == []
    assert not any("spike" in entry for entry in lines)


@pytest.mark.parametrize("step", [FEWEST + 1, 200, 999])
def test_a_spike_is_marked_and_said_with_its_samples_and_the_parameter_that_leaves_it_out(step: int) -> None:
    losses = falling(1000)
    losses[step] += 3
    lines, (words,) = judged(losses)
    assert [entry["step"] for entry in lines if entry.get("spike")] == [step]
    assert f"loss of step {step} is {losses[step]:.3f}" in words
    assert f"samples {4 * step} to {4 * step + 3}" in words
    assert f"skip_batches: [[{step}, {step}]]" in words


def test_a_spike_does_not_hide_the_next_one() -> None:
    losses = falling(400)
    for step in (300, 301, 310):
        losses[step] += 2
    lines, _ = judged(losses)
    assert [entry["step"] for entry in lines if entry.get("spike")] == [300, 301, 310]


def test_too_few_losses_before_it_make_no_spike() -> None:
    lines, words = judged([5.0] * FEWEST + [50.0])
    assert words == []
    assert lines[-1].keys() == {"step", "batch", "loss", "gradient_norm", "smoothed_loss"}


def test_losses_that_hardly_vary_have_no_spikes_in_their_noise() -> None:
    """Half a percent counts as the least deviation: of 4.0 that is 0.02, so a spike is more than 0.12 above."""
    _, words = judged([4.0] * WINDOW + [4.0 + THRESHOLD * 0.019])
    assert words == []
    _, words = judged([4.0] * WINDOW + [4.0 + THRESHOLD * 0.021])
    assert len(words) == 1


def test_the_smoothed_loss_is_the_weighted_mean_of_all_losses_so_far() -> None:
    losses = falling(120)
    lines, _ = judged(losses)
    for step in (0, 1, 119):
        weights = [SMOOTHING ** (step - earlier) for earlier in range(step + 1)]
        mean = sum(w * loss for w, loss in zip(weights, losses, strict=False)) / sum(weights)
        assert lines[step]["smoothed_loss"] == pytest.approx(mean, rel=1e-12)


def test_a_watch_that_saw_the_losses_again_goes_on_as_if_never_interrupted() -> None:
    losses = falling(300)
    losses[250] += 3
    whole, _ = judged(losses)
    watch = LossWatch(4, ())
    for loss in losses[:180]:
        watch.see(loss)
    rest = [line(step, loss) for step, loss in enumerate(losses)][180:]
    for entry in rest:
        watch.judge(entry)
    assert rest == whole[180:]


@given(skipped=st.sets(st.integers(0, 60)), batch=st.integers(0, 60))
def test_the_proposed_ranges_leave_out_one_batch_more_and_are_accepted(skipped: set[int], batch: int) -> None:
    ranges: list[list[int]] = []
    for number in sorted(skipped):
        ranges = with_batch([(first, last) for first, last in ranges], number)
    proposed = with_batch([(first, last) for first, last in ranges], batch)
    accepted = trainer(skip_batches=proposed).skip_batches
    taken = [batch_at(step, accepted) for step in range(70)]
    assert taken == [number for number in range(200) if number not in skipped | {batch}][:70]


@pytest.mark.parametrize("ranges", [[[-1, 2]], [[3, 2]], [[4, 6], [1, 2]], [[1, 4], [3, 6]], [[1, 2], [3, 4]]])
def test_ranges_that_are_not_in_order_and_apart_are_refused(ranges: list[list[int]]) -> None:
    with pytest.raises(ValidationError, match=r"first and last number of global batches .* leave a batch"):
        trainer(skip_batches=ranges)


@pytest.mark.parametrize("seconds", [0.5, 40.0, 4e4])
def test_the_work_of_a_slow_step_of_a_small_model_is_not_rounded_to_nothing(seconds: float) -> None:
    from transformers import MistralConfig

    from components.train.loop.step_metrics import StepMetrics

    config = MistralConfig(
        vocab_size=64, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    attempt: Any = SimpleNamespace(training=SimpleNamespace(sequence_length=16, global_batch_size=2), accelerator_tflops=300.0)
    watch = StepMetrics(attempt, config, (), rank=0, processes=2)
    assert watch.flops is not None
    tflops = watch.flops / seconds / 2 / 1e12
    assert watch.work(seconds) == pytest.approx({"tflops_per_process": tflops, "mfu": tflops / 300}, rel=1e-3)
