"""How well `martlet plan --measure` predicts a training: the smoke run's model on this machine, both at the same time.

`make bench-plan` prints one JSON line for each figure; the exit code is 1 if a figure is off by more than the goal, either
way. A training here is the trainer's own worker from its first step to its export, with checkpoints in the background and
held-out text, on random tokens. Other work on a machine changes a step by more than the goal from one minute to the next.
Therefore the two run side by side, and the training's steps count that were made while the profile's were timed. Both are
slower than alone, by the same factor.
"""

import multiprocessing
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROUNDS = 3
GOAL = 0.15
SHORT = {"steps": 60, "checkpoint_every_steps": 20}
"""The training makes more steps than profiling does."""
HELDOUT_TOKENS = 2_500
"""About the tokens that the smoke run's tokenizer makes of 5,000 characters of each language."""
RECIPE = Path(__file__).parents[1] / "recipes/smoke.yaml"

Pair = tuple[float, float]
"""A predicted value, and the measured one."""


def figures() -> list[dict[str, Any]]:
    """The figures of step time and memory."""
    Path(".build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=Path(".build")) as folder:
        return measure(Path(folder).absolute())


def measure(folder: Path) -> list[dict[str, Any]]:
    """Profiles and trains, `ROUNDS` times."""
    rounds = [side_by_side(folder / str(number)) for number in range(ROUNDS)]
    return [figure("step", "s", [each[0] for each in rounds]), figure("memory", "MiB", [each[1] for each in rounds])]


def side_by_side(folder: Path) -> tuple[Pair, Pair]:
    """The seconds of a step, and the MiB of the process that held most: each as predicted and as measured."""
    from components.train.planning.profile import WARM_UP

    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn, initializer=print_aside) as pool:
        predicting, training = pool.submit(predict, folder / "profile"), pool.submit(train, folder / "training")
        predicted, lines = predicting.result(), training.result()
    begin, end = predicted.lines[WARM_UP - 1]["time"], predicted.lines[-1]["time"]
    meanwhile = [line["step_seconds"] for line in lines if begin <= line["time"] <= end]
    peak = max(line["peak_memory_mib"] for line in lines)
    return (predicted.step_seconds, statistics.median(meanwhile)), (predicted.peak_memory_mib, peak)


def print_aside() -> None:
    """Sends output to standard error: standard output is for the figures."""
    sys.stdout = sys.stderr


def figure(name: str, unit: str, pairs: list[Pair]) -> dict[str, Any]:
    """One figure, as it is printed."""
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = [ours / other for ours, other in pairs]
    ratio = statistics.median(ratios)
    return {
        "bench": f"plan-{name}", "ours": round(mine, 4), "peer": round(theirs, 4), "peer_name": "a training", "unit": unit,
        "ratio": round(ratio, 3), "goal": f"within {GOAL:.0%}", "pass": abs(ratio - 1) <= GOAL,
        "ratios": [round(each, 3) for each in ratios],
    }  # fmt: skip


def smoke(folder: Path) -> tuple[Any, Any, Any, Any]:
    """The smoke recipe's training, its model's summary, the site, and the launcher of ranks."""
    from components.params import component_of, load_params
    from flows.commands.plan import summaries_before
    from infra.local import LocalProcesses
    from infra.sites import load_site

    params, site = load_params(RECIPE), load_site("local", [])
    component: Any = component_of(params, "train")
    summary = summaries_before(params, Path("nowhere"))["train"]
    return component.training, summary, site, LocalProcesses(folder / "logs", site.threads_per_process)


def predict(folder: Path) -> Any:
    """Makes a profile as `martlet plan --measure` does."""
    from components.train.planning.profile import profile

    training, summary, site, launcher = smoke(folder)
    return profile(training, summary, site, launcher, folder)


def train(folder: Path) -> list[Any]:
    """Makes a whole training; returns its lines of metrics."""
    from components.ranks.run import launch
    from components.train.metrics import read_lines
    from components.train.planning.profile import make_request
    from components.train.request import TrainingRequest

    training, summary, site, launcher = smoke(folder)
    made = make_request(training.model_copy(update=SHORT), summary, site, folder).model_dump()
    add_heldout(folder / "tokens")
    request = TrainingRequest.model_validate(made | {"output": folder / "model"})
    request.write()
    launch(request, launcher, site.train_processes)
    return read_lines(request.metrics)


def add_heldout(folder: Path) -> None:
    """Adds a held-out document of random tokens in each of two languages."""
    import numpy as np

    from components.data.heldout_tokens import HeldoutText
    from components.data.token_shards import read_index, write_index
    from components.data.token_writer import write_source

    index, texts = read_index(folder), []
    for language in ("ja", "en"):
        document = np.random.default_rng(1).integers(1, index.tokenizer_fingerprint.pieces, HELDOUT_TOKENS)
        write_source(folder, f"heldout-{language}", index.dtype, [(language, document)])
        texts.append(HeldoutText(language=language, key=f"heldout-{language}", documents=1, tokens=HELDOUT_TOKENS,
                                 characters=5_000, bytes=10_000, sha256=""))  # fmt: skip
    write_index(folder, index.model_copy(update={"heldout": tuple(texts)}))
