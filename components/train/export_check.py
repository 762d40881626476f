"""A model folder that training wrote in, nothing out where it is what was trained; else the first thing that is not."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

from components.errors import WorkerFailed
from components.models.folder import HEAD, check_rows, padding_rows, read_config, tensor_shapes
from components.models.safetensors_stream import read_header
from components.train.parameters import TrainingParameters

DTYPES = {"bf16": ("bfloat16", "BF16"), "pure_bf16": ("bfloat16", "BF16"), "fp32": ("float32", "F32")}
"""What config.json and the safetensors files call each precision's weights."""
EXPERT = "model.layers.{layer}.block_sparse_moe.experts.{expert}.{matrix}.weight"


def check_export(folder: Path, model: Path, training: TrainingParameters, pieces: int) -> None:
    """Raises `WorkerFailed` or `TokenizerMismatch` unless names, shapes, types and configuration are as they must be.

    `model` is the folder that was trained from: where it has weights, the tensors' names and shapes must be its own.
    """
    check_rows(folder, pieces)
    config, shape = read_config(folder), training.architecture
    source = read_config(model) if shape is None else {}
    tied = source.get("tie_word_embeddings", False) if shape is None else shape.tie_word_embeddings
    theta = rope_theta(source) if shape is None else shape.rope_theta
    expected = {
        "vocab_size": pieces + padding_rows(folder),
        "max_position_embeddings": training.maximum_positions,
        "rope_theta": theta or rope_theta(config),
        "dtype": DTYPES[training.precision][0],
        "tie_word_embeddings": tied,
        "output_router_logits": False if "num_local_experts" in config else None,
        "use_cache": True,
    }
    for key, value in expected.items():
        if config.get(key) != value:
            raise wrong(folder, f"{key} is {config.get(key)!r} in config.json", repr(value))
    if paths := [text for text in strings(config) if PurePosixPath(text).is_absolute()]:
        raise wrong(folder, f"config.json names {paths[0]}", "no path of the machine that trained it")
    check_tensors(folder, config, {} if shape else tensor_shapes(model), DTYPES[training.precision][1])


def check_tensors(folder: Path, config: dict[str, Any], known: dict[str, list[int]], dtype: str) -> None:
    """Names as the hub has them, all of one type, and an output head only where it is not the embedding.

    `known` are the shapes of the model that was trained from, where it had weights.
    """
    shapes, tied = tensor_shapes(folder), config["tie_word_embeddings"]
    if (HEAD in shapes) == tied:
        found = f"{HEAD} is {'stored' if HEAD in shapes else 'missing'} and tie_word_embeddings is {tied}"
        raise wrong(folder, found, "an output head exactly where it is not the embedding")
    if missing := expert_names(config) - shapes.keys():
        raise wrong(folder, f"{min(missing)} is missing", "each expert's matrices by themselves")
    for name, shape in shapes.items() if known else ():
        if ".experts." not in name and known.get(name) != shape:
            raise wrong(folder, f"{name} has shape {shape}", f"{known.get(name, 'no such tensor')}, as it was trained from")
    types = {tensor.dtype for path in folder.glob("*.safetensors") for tensor in read_header(path).tensors}
    if types != {dtype}:
        raise wrong(folder, f"the tensors are {', '.join(sorted(types))}", dtype)


def expert_names(config: dict[str, Any]) -> set[str]:
    """What a Mixtral's matrices of experts are called on the hub; none for a Mistral."""
    layers, experts = config["num_hidden_layers"], config.get("num_local_experts") or 0
    places = product(range(layers), range(experts), ("w1", "w2", "w3"))
    return {EXPERT.format(layer=layer, expert=expert, matrix=matrix) for layer, expert, matrix in places}


def rope_theta(config: dict[str, Any]) -> float | None:
    """Where version 5 says it, else where version 4 does."""
    theta: float | None = (config.get("rope_parameters") or config).get("rope_theta")
    return theta


def strings(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def wrong(folder: Path, found: str, expected: str) -> WorkerFailed:
    """The error that says what was written and what should have been."""
    return WorkerFailed(f"{folder}: the trained model was not exported as it should be: {found}; expected {expected}.")
