"""Forecasts a training by arithmetic alone, in words: its tokens, memory, work, time and disk."""

from dataclasses import fields
from typing import TYPE_CHECKING

from components.base.model_summary import ModelSummary
from components.base.site import Site
from components.data.batches import BatchPlan
from components.errors import ParameterError
from components.train.flops import step_flops
from components.train.parameters import CheckpointRetention, TrainingParameters
from components.train.planning.memory import ADAM, GIBIBYTE, Layout, Memory, memory_of

if TYPE_CHECKING:
    from components.train.planning.profile import Profile

ASSUMED_UTILISATION = 0.40
"""The share of the accelerator's peak that well-tuned training of dense models reaches; the metric `mfu` shows your own."""
REFERENCE_TFLOPS = 312.0
"""An A100's peak in bf16 without sparsity, from NVIDIA's data sheet: for sites that name no accelerator."""
PROCESS = 650 * 2**20
"""Bytes resident besides the tensors, measured on Linux without CUDA: 500 MiB with a model of some kilobytes (Python, torch,
transformers, DeepSpeed), and about 150 more once a training has run (the allocator's gaps, smaller buffers, checkpoints)."""
SECONDS_AN_HOUR = 3600

Rows = list[tuple[str, str]]


def forecast(training: TrainingParameters, summary: ModelSummary, site: Site) -> Rows:
    """Parameters, tokens, memory of a process at each ZeRO stage, work, time and disk."""
    parameters, active = summary.parameters(), summary.active_parameters()
    if parameters is None or active is None:
        return [("model", "of a shape that is known once it was collected: see it then, or list it in collect/known_models.py")]
    some = "" if active == parameters else f", of which a token goes through {count(active)}"
    return [
        ("parameters", count(parameters) + some),
        ("tokens", tokens_words(training)),
        ("a global batch", dealing_words(training, site)),
        *memory_rows(training, summary, site),
        *work_rows(training, summary, site),
        ("checkpoints", checkpoint_words(training, parameters)),
    ]


def tokens_words(training: TrainingParameters) -> str:
    """Steps, batch and length, and their product."""
    batch = training.global_batch_size * training.sequence_length
    left_out = sum(last - first + 1 for first, last in training.skip_batches)
    skipped = f"; {left_out:,} batches are skipped" if left_out else ""
    return f"{count(training.steps * batch)}: {training.steps:,} steps × {training.global_batch_size:,} sequences × " \
           f"{training.sequence_length:,}{skipped}"


def dealing_words(training: TrainingParameters, site: Site) -> str:
    """How the site fills a global batch, or why it cannot."""
    plan = BatchPlan(training.global_batch_size, site.train_micro_batch_size, site.train_processes)
    try:
        plan.check(site.name)
    except ParameterError as error:
        return f"would stop it: {error}"
    return f"{plan.processes:,} processes × micro-batch {plan.micro_batch_size:,}, accumulated {plan.accumulation:,} times"


def memory_rows(training: TrainingParameters, summary: ModelSummary, site: Site) -> Rows:
    """One row for each ZeRO stage; the chosen one is marked."""
    rows = []
    for stage in (1, 2, 3):
        memory = memory_of(summary, training, Layout(stage, site.train_processes, site.train_micro_batch_size))
        mark = ", as asked for" if stage == training.zero_stage else ""
        rows.append((f"memory a process, ZeRO-{stage}{mark}", memory_words(memory)))
        if stage == training.zero_stage and site.accelerator_tflops is None:
            rows.append(("resident, on a CPU", f"about {size(memory.total + PROCESS)}, Python and its libraries included"))
    return rows


def memory_words(memory: Memory) -> str:
    """The sum and its parts."""
    parts = {field.name: getattr(memory, field.name) for field in fields(memory)}
    return f"{size(memory.total)}: " + ", ".join(f"{name} {size(number)}" for name, number in parts.items() if number)


def work_rows(training: TrainingParameters, summary: ModelSummary, site: Site) -> Rows:
    """Operations, and the hours that they take at the assumed share of the accelerator's peak."""
    operations = step_flops(summary, training.sequence_length, training.global_batch_size)
    peak = site.accelerator_tflops or REFERENCE_TFLOPS
    whose = "this site's" if site.accelerator_tflops else "an A100's"
    seconds = accelerator_seconds(training, summary, peak)
    a_token = operations / (training.global_batch_size * training.sequence_length)
    time = (
        f"{duration(seconds / site.train_processes)} on {site.train_processes:,}, "
        f"{duration(seconds / site.train_processes / training.steps)} a step"
        if site.accelerator_tflops
        else "not known: the site names no accelerator_tflops; --measure makes a few steps on this machine"
    )
    return [
        ("work", f"{operations * training.steps:.3g} operations, {a_token / 1e9:,.3g} billion a token"),
        ("accelerator time", f"{duration(seconds)} at {ASSUMED_UTILISATION:.0%} of {peak:g} TFLOP/s ({whose})"),
        ("time", time),
    ]


def accelerator_seconds(training: TrainingParameters, summary: ModelSummary, peak_tflops: float) -> float:
    """The seconds that one accelerator would need for all steps at the assumed share of its peak."""
    operations = step_flops(summary, training.sequence_length, training.global_batch_size)
    return training.steps * operations / (ASSUMED_UTILISATION * peak_tflops * 1e12)


def training_hours(training: TrainingParameters, summary: ModelSummary, site: Site) -> float | None:
    """Hours on all of the site's accelerators together; None unless their peak and the model's shape are known."""
    if site.accelerator_tflops is None or summary.parameters() is None:
        return None
    return accelerator_seconds(training, summary, site.accelerator_tflops) / site.train_processes / SECONDS_AN_HOUR


def checkpoint_words(training: TrainingParameters, parameters: int) -> str:
    """The disk for the checkpoints that are kept in the end, and for one more while it is written."""
    one = ADAM[training.precision] * parameters
    kept = len(kept_steps(training.steps, training.checkpoint_every_steps, training.keep_checkpoints))
    return f"{size(one)} each; {kept:,} kept, and one while it is written: {size(one * (kept + 1))}"


def kept_steps(steps: int, every: int, keep: CheckpointRetention) -> set[int]:
    """The steps whose checkpoints are left when training ends, as if the last one were the best on held-out text."""
    saved = sorted({*range(every, steps + 1, every), steps})
    for_good = {step for step in saved if keep.every_steps and step % keep.every_steps == 0}
    return set(saved[-keep.last :]) | for_good


def profile_rows(training: TrainingParameters, profile: "Profile") -> Rows:
    """What the measured steps say about the whole training."""
    seconds = profile.step_seconds
    tokens = training.global_batch_size * training.sequence_length / seconds
    return [
        ("a step, measured", f"{duration(seconds)}, {tokens:,.0f} tokens a second"),
        ("all steps, measured", duration(seconds * training.steps)),
        ("memory a process, measured", size(round(profile.peak_memory_mib * 2**20))),
    ]


def count(number: int) -> str:
    """A large number in words."""
    for scale, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= scale:
            return f"{number / scale:,.2f} {name}"
    return f"{number:,}"


def duration(seconds: float) -> str:
    """The time in hours, or in seconds if it is less than one hour."""
    hours = seconds / SECONDS_AN_HOUR
    if hours >= 1:
        return f"{hours:,.0f} hours" if hours >= 100 else f"{hours:.1f} hours"
    return f"{seconds:.3g} s"


def size(number: int) -> str:
    """The size in GiB, or in MiB if it is less than one GiB."""
    return f"{number / GIBIBYTE:,.1f} GiB" if number >= GIBIBYTE else f"{number / 2**20:,.0f} MiB"
