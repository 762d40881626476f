"""Measures how long a training's steps take and how much memory they need, by a few steps on this machine.

The trainer's own processes, engine and batches run on random weights and random tokens: time and memory do not depend on
either. The state is copied as for a checkpoint, since that takes memory, but no checkpoint is written.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import ClassVar

import numpy as np

from components.base.model_summary import ModelShape, ModelSummary
from components.base.ports import Launcher
from components.base.site import Site
from components.data.mixture import Mixture
from components.data.token_shards import PackedSource, TokenIndex, token_dtype, write_index, write_order
from components.errors import ParameterError
from components.ranks.run import launch
from components.tokenizers.fingerprint import TokenizerFingerprint
from components.tokenizers.piece_bytes import write_piece_bytes
from components.train.metrics import Line, read_lines
from components.train.parameters import Architecture, TrainingParameters
from components.train.request import Kernels, TrainingRequest

WARM_UP = 4
"""The first steps, which also fill caches and memory, are not timed: in the smoke run, the first took 2.5 times as long as
later ones, and the fourth still a fifth longer."""
FEWEST, MOST = 6, 40
"""The fewest and the most steps that are timed."""
SECONDS = 15.0
"""After this long, the fewest steps are enough; before, more are timed: a machine's load changes from second to second."""
WINDOWS = 64
"""Number of samples of random tokens; they are used again and again."""
KEY = "0-random"


@dataclass(frozen=True)
class Profile:
    """What was measured."""

    step_seconds: float
    """Median."""
    peak_memory_mib: float
    """Of the process that held most: in torch's tensors on a GPU, else resident."""
    lines: list[Line]


class ProfileRequest(TrainingRequest):
    """A few steps of a training, as its ranks read them."""

    worker: ClassVar[str] = "components.train.planning.profile_worker"


def profile(training: TrainingParameters, summary: ModelSummary, site: Site, launcher: Launcher, folder: Path) -> Profile:
    """Makes a few steps on this machine. Raises `ParameterError` if the model is not known, `WorkerFailed` if a rank fails."""
    steps = {"steps": WARM_UP + MOST, "warmup_steps": 1}
    request = make_request(training.model_copy(update=steps), summary, site, folder)
    request.write()
    launch(request, launcher, site.train_processes)
    lines = read_lines(request.metrics)
    timed = [line["step_seconds"] for line in lines[WARM_UP:]]
    return Profile(median(timed), max(line["peak_memory_mib"] for line in lines), lines)


def make_request(training: TrainingParameters, summary: ModelSummary, site: Site, folder: Path) -> ProfileRequest:
    """The training with random weights and tokens, all of it in a folder. Raises `ParameterError` as `profile` does."""
    shape, vocabulary = summary.shape, summary.vocabulary
    if shape is None or vocabulary is None:
        raise ParameterError("the model's shape is not known before it is collected; run `martlet run` as far as that first.")
    write_random_tokens(folder / "tokens", vocabulary, training)
    write_piece_bytes(folder, np.ones(vocabulary, dtype=np.int64))  # random tokens are not text
    changes = {"architecture": architecture_of(shape), "skip_batches": ()}
    return ProfileRequest(
        training=training.model_copy(update=changes), model=folder, tokens=folder / "tokens", output=folder,
        scratch=folder, metrics=folder / "metrics.jsonl", fingerprint="profile",
        micro_batch_size=site.train_micro_batch_size, asynchronous_checkpoints=site.asynchronous_checkpoints,
        accelerator_tflops=site.accelerator_tflops, workers=site.workers,
        kernels=Kernels(**{name: getattr(site, name) for name in Kernels.model_fields}),
    )  # fmt: skip


def architecture_of(shape: ModelShape) -> Architecture:
    """The shape as the trainer's `architecture`. Raises `ParameterError` if heads times their size is not the hidden size."""
    if shape.head_dimension * shape.heads != shape.hidden_size:
        raise ParameterError(f"heads of {shape.head_dimension} in a model of {shape.hidden_size} cannot be profiled")
    names = set(Architecture.model_fields) - {"rope_theta"}
    return Architecture(rope_theta=10_000.0, **{name: getattr(shape, name) for name in names})


def write_random_tokens(folder: Path, vocabulary: int, training: TrainingParameters) -> None:
    """Writes token shards of one source of random tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    dtype, count = token_dtype(vocabulary), WINDOWS * training.sequence_length + 1
    np.save(folder / f"{KEY}.offsets.npy", np.asarray([0, count], dtype=np.int64))
    np.random.default_rng(0).integers(0, vocabulary, count).astype(dtype).tofile(folder / f"{KEY}.bin")
    source = PackedSource(
        key=KEY, text="random", weight=1.0, documents=1, tokens=count, windows=WINDOWS, bos_fraction=None,
        eos_fraction=1.0, largest_id=vocabulary - 1, sha256="",
    )  # fmt: skip
    fingerprint = TokenizerFingerprint(
        version=1, pieces=vocabulary, bos=None, eos=0, document=[], reachable=0, vocabulary="", golden={}
    )
    write_index(folder, TokenIndex(
        version=5, sequence_length=training.sequence_length, seed=0, dtype=dtype, tokenizer="", sources=(source,),
        heldout=(),
        mixture=write_order(folder, Mixture.of([1.0])), tokenizer_fingerprint=fingerprint,
    ))  # fmt: skip
