"""An attempt's file in; trains it, exports it, and leaves the engine's own logits for some samples beside the export."""

import sys
from pathlib import Path

if __name__ == "__main__":
    from components.train.worker import prepare_deepspeed

    prepare_deepspeed()
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from components.train.attempt import Attempt
    from components.train.worker_engine import open_process_group
    from components.train.worker_export import whole_weights
    from components.train.worker_steps import Run

    attempt = Attempt.model_validate_json(Path(sys.argv[1]).read_bytes())
    with open_process_group():
        run = Run(attempt)
        weights = whole_weights(run.engine, run.training)
        deviations = {name: float(weight.float().std()) for name, weight in weights.items() if weight.dim() > 1}
        for step in range(attempt.training.steps):
            run.record(run.update(step))
        run.export()
        tokens = torch.from_numpy(np.stack([run.shards.sample(number) for number in range(2)]))
        run.engine.eval()
        with torch.no_grad():
            logits = run.engine(input_ids=tokens, use_cache=False).logits
        if run.rank == 0:
            facts = {name: torch.tensor(value) for name, value in deviations.items()}
            save_file({"logits": logits, "tokens": tokens} | facts, attempt.scratch / "engine.safetensors")
