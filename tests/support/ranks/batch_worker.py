"""Trains an attempt from its file, and writes the tokens that went into each rank's model at each step, in their order."""

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    from components.train.loop.worker import prepare_deepspeed

    prepare_deepspeed()
    import torch
    from safetensors.torch import save_file

    from components.train.loop.steps import TrainingLoop
    from components.train.process_group import open_process_group
    from components.train.request import TrainingRequest

    attempt = TrainingRequest.model_validate_json(Path(sys.argv[1]).read_bytes())
    eaten: list[torch.Tensor] = []

    def note(_module: Any, _words: Any, named: dict[str, Any]) -> None:
        """Keeps the model's input."""
        eaten.append(named["input_ids"].clone())

    with open_process_group():
        run = TrainingLoop(attempt)
        run.engine.module.register_forward_pre_hook(note, with_kwargs=True)
        steps = {}
        for step in range(attempt.training.steps):
            run.record(run.update(step))
            steps[f"{step}"] = torch.cat(eaten)
            eaten.clear()
        save_file(steps, attempt.scratch / f"eaten-{run.rank}.safetensors")
