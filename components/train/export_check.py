"""Checks that a model folder written by training holds what was trained: names, shapes, types and configuration."""

from pathlib import Path, PurePosixPath

from components.errors import WorkerFailed
from components.models.dtypes import dtype_of_precision
from components.models.folder import HEAD, read_config, tensor_shapes
from components.models.verification import ModelFacts
from components.train.parameters import TrainingParameters


def check_export(folder: Path, model: Path, training: TrainingParameters, pieces: int) -> None:
    """Raises `WorkerFailed` or `TokenizerMismatch` unless names, shapes, types and configuration are as they must be.

    `model` is the folder that training started from: if it has weights, the tensors' names and shapes must be its own.
    """
    shape, dtype, facts = training.architecture, dtype_of_precision(training.precision), ModelFacts(folder, read_config(folder))
    source = ModelFacts(model, read_config(model) if shape is None else {})
    theta = source.rope_theta if shape is None else shape.rope_theta
    expected = {
        "vocab_size": facts.rows(pieces),
        "max_position_embeddings": training.maximum_positions,
        "rope_theta": theta or facts.rope_theta,
        "dtype": dtype.torch,
        "tie_word_embeddings": source.is_tied if shape is None else shape.tie_word_embeddings,
        "output_router_logits": False if "num_local_experts" in facts.config else None,
        "use_cache": True,
    }
    for key, found, value in facts.differences(expected):
        raise wrong(folder, f"{key} is {found!r} in config.json", repr(value))
    for _, path in facts.absolute_paths(PurePosixPath):
        raise wrong(folder, f"config.json names {path}", "no path of the machine that trained it")
    check_tensors(facts, {} if shape else tensor_shapes(model), dtype.safetensors)


def check_tensors(facts: ModelFacts, known: dict[str, list[int]], dtype: str) -> None:
    """Raises `WorkerFailed` unless tensors have the Hub's names and one type, with an output head only if it is untied.

    `known` are the shapes of the model that training started from, if it had weights.
    """
    folder, shapes, tied = facts.folder, facts.shapes, facts.is_tied
    if (HEAD in shapes) == tied:
        found = f"{HEAD} is {'stored' if HEAD in shapes else 'missing'} and tie_word_embeddings is {tied}"
        raise wrong(folder, found, "an output head exactly if it is not the embedding")
    if missing := facts.missing_experts:
        raise wrong(folder, f"{min(missing)} is missing", "each expert's matrices by themselves")
    for name, shape in shapes.items() if known else ():
        if ".experts." not in name and known.get(name) != shape:
            raise wrong(folder, f"{name} has shape {shape}", f"{known.get(name, 'no such tensor')}, as it was trained from")
    if (types := facts.stored_dtypes) != {dtype}:
        raise wrong(folder, f"the tensors are {', '.join(sorted(types))}", dtype)


def wrong(folder: Path, found: str, expected: str) -> WorkerFailed:
    """The error that says what was written and what was expected."""
    return WorkerFailed(f"{folder}: the trained model was not exported as it should be: {found}; expected {expected}.")
