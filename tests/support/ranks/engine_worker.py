"""Trains each of a list of attempts in this process, and writes what its engine computed and is made of.

For each attempt, its scratch folder gets `engine.safetensors` (the whole gradient of the first update, by name) and
`engine.json`. One process for many engines: starting one takes longer than training ten.
"""

import json
import sys
from pathlib import Path
from typing import Any


def main(path: Path) -> None:
    """Trains and exports every attempt of the file."""
    from components.train.process_group import open_process_group
    from components.train.request import TrainingRequest

    with open_process_group():
        for values in json.loads(path.read_text()):
            probe(TrainingRequest.model_validate(values))


def probe(attempt: Any) -> None:
    """Trains one attempt to its end, and writes what was seen on the way."""
    from safetensors.torch import save_file

    from components.train.loop.steps import TrainingLoop

    run = TrainingLoop(attempt)
    watch = StepMetrics(run.engine)
    for step in range(attempt.training.steps):
        run.record(run.measured(step))
    run.export()
    if run.rank == 0:
        save_file(watch.gradients, attempt.scratch / "engine.safetensors")
        facts = made_of(run.engine) | {"lines": run.lines, "rates": watch.rates, "calls": watch.calls}
        (attempt.scratch / "engine.json").write_text(json.dumps(facts))


class StepMetrics:
    """Watches each update: keeps the first gradient, every learning rate, and how often training computed a layer."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.update = engine, engine.step
        self.gradients: dict[str, Any] = {}
        self.rates: list[float] = []
        self.calls = 0
        engine.step = self.step
        engine.module.model.layers[0].self_attn.o_proj.register_forward_hook(self.count)

    def count(self, layer: Any, *_: Any) -> None:
        self.calls += layer.training  # held-out text is measured without

    def step(self) -> None:
        from deepspeed.utils import safe_get_full_grad

        if self.engine.is_gradient_accumulation_boundary():
            self.rates.append(self.engine.optimizer.optimizer.param_groups[0]["lr"])
            if not self.gradients:
                named = self.engine.module.named_parameters()
                self.gradients = {name: safe_get_full_grad(parameter).clone() for name, parameter in named}
        self.update()


def made_of(engine: Any) -> dict[str, Any]:
    """The number types, settings and leaf modules of an engine."""
    from deepspeed.utils import get_z3_leaf_modules

    adam = engine.optimizer.optimizer
    states = [value for state in adam.state.values() for key, value in state.items() if key != "step"]
    return {
        "weights": sorted({str(parameter.dtype) for parameter in engine.module.parameters()}),
        "masters": sorted({str(master.dtype) for master in adam.state}),
        "moments": sorted({str(value.dtype) for value in states}),
        "frequencies": str(engine.module.model.rotary_emb.inv_freq.dtype),
        "epsilon": [group["eps"] for group in adam.param_groups],
        "decay": [group["weight_decay"] for group in adam.param_groups],
        "leaves": sorted({type(module).__name__ for module in get_z3_leaf_modules(engine.module)}),
    }


if __name__ == "__main__":
    from components.train.loop.worker import prepare_deepspeed

    prepare_deepspeed()
    main(Path(sys.argv[1]))
