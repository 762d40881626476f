"""Trains each of a list of attempts a few steps in this process, and writes what its engine was and computed.

Each attempt's scratch folder gets `facts.json`; if it was restored, the checkpoint written once more (`again/`); and if it was
trained to its end, the model folder and `engine.safetensors` (logits for some samples). One process for many engines: starting
one takes longer than training ten.
"""

import json
import sys
from pathlib import Path
from typing import Any

SHARD_BYTES = 30_000


def main(path: Path) -> None:
    """Goes through the attempts of the file."""
    from components.train.process_group import open_process_group
    from components.train.request import TrainingRequest

    with open_process_group():
        for values in json.loads(path.read_text()):
            go_on(TrainingRequest.model_validate(values["attempt"]), values["until"])


def go_on(attempt: Any, until: int) -> None:
    """Trains one attempt up to a step."""
    from components.train.checkpoint.start import find_start
    from components.train.loop.steps import TrainingLoop

    start = find_start(attempt)
    run = TrainingLoop(attempt, start)
    facts: dict[str, Any] = {"probe": run.saver.probe.loss()}
    if start.checkpoint:
        save_again(run, start.step)
        facts["unwritable"] = refusal_of_a_blocked_folder(run, start.step)
    else:
        facts["deviations"] = deviations(run)
    for step in range(start.step, until):
        run.record(run.update(step))
        if (step + 1) % attempt.training.checkpoint_every_steps == 0:
            run.save(step + 1)
    run.save(until)
    run.saver.wait()
    if until == attempt.training.steps:
        leave_model(run)
    else:
        facts["refusal"] = refusal_of_a_broken_model(run)
    if run.rank == 0:
        (attempt.scratch / "facts.json").write_text(json.dumps(facts))


def save_again(run: Any, step: int, name: str = "again") -> None:
    """Writes the state as it was restored."""
    saver = run.saver
    kept, saver.folder, saver.saved = (saver.folder, saver.saved), run.request.scratch / name, None
    try:
        saver.save(step, run.lines)
        saver.wait()
    finally:
        saver.folder, saver.saved = kept


def refusal_of_a_blocked_folder(run: Any, step: int) -> str:
    """What the last rank is told if rank 0 could not write."""
    import torch.distributed as dist

    from components.errors import ResourceError

    if run.rank == 0:
        (run.request.scratch / "blocked").touch()  # a file where the folder belongs
    try:
        save_again(run, step, "blocked")
        words = ""
    except ResourceError as error:
        words = str(error)
    heard: list[Any] = [None] * run.processes
    dist.all_gather_object(heard, words)
    return str(heard[-1])


def deviations(run: Any) -> dict[str, float]:
    """The standard deviation of every matrix that training begins with."""
    from components.train.loop.export import whole_weights

    weights = whole_weights(run.engine, run.training)
    return {name: float(weight.float().std()) for name, weight in weights.items() if weight.dim() > 1}


def leave_model(run: Any) -> None:
    """Exports the model in small shards, and keeps the engine's own logits."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from components.train.loop.export import export

    export(run.engine, run.training, run.request.output, maximum_shard_bytes=SHARD_BYTES)
    tokens = torch.from_numpy(np.stack([run.shards.sample(number) for number in range(2)]))
    run.engine.eval()
    with torch.no_grad():
        logits = run.engine(input_ids=tokens, use_cache=False).logits
    if run.rank == 0:
        save_file({"logits": logits, "tokens": tokens}, run.request.scratch / "engine.safetensors")


def refusal_of_a_broken_model(run: Any) -> str:
    """What is said if the loaded weights are not those that were saved; "" if nothing is said."""
    from components.errors import CheckpointRefused

    before = run.saver.probe.loss()
    for parameter in run.engine.module.parameters():
        getattr(parameter, "ds_tensor", parameter).data.mul_(-1)
    try:
        run.saver.probe.compare(before, Path("step-00000006"))
    except CheckpointRefused as error:
        return str(error)
    return ""


if __name__ == "__main__":
    from components.train.loop.worker import prepare_deepspeed

    prepare_deepspeed()
    main(Path(sys.argv[1]))
