"""The facts that the checks of a written model compare: what its config.json states, and what its weights' headers hold.

Training checks what it exported and publish what it releases, each with errors and remedies of its own; the facts are one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path, PurePath
from typing import Any

from components.models.dtypes import torch_name
from components.models.folder import EMBEDDING, HEAD, check_rows, padding_rows, read_tensors, tensor_shapes

EXPERT = "model.layers.{layer}.block_sparse_moe.experts.{expert}.{matrix}.weight"
"""The hub's name of a matrix of a Mixtral's expert."""


@dataclass(frozen=True)
class ModelFacts:
    """A model folder, and the values of its config.json."""

    folder: Path
    config: Mapping[str, Any]

    def rows(self, pieces: int) -> int:
        """How many rows embedding, output head and `vocab_size` must have for so many pieces; raises as `check_rows` does."""
        check_rows(self.folder, pieces)
        return pieces + padding_rows(self.folder)

    @cached_property
    def shapes(self) -> dict[str, list[int]]:
        """The shape of every tensor."""
        return tensor_shapes(self.folder)

    @property
    def head_rows(self) -> int | None:
        """How many rows the stored output head has; None if the embedding serves as head."""
        return self.shapes[HEAD][0] if HEAD in self.shapes else None

    def differences(self, expected: Mapping[str, object]) -> Iterator[tuple[str, Any, object]]:
        """Each key of config.json that does not state what was expected, with what it states (None: nothing) and that."""
        for key, value in expected.items():
            if self.config.get(key) != value:
                yield key, self.config.get(key), value

    @property
    def rope_theta(self) -> float | None:
        """Where version 5 of transformers states it, else where version 4 does."""
        theta: float | None = (self.config.get("rope_parameters") or self.config).get("rope_theta")
        return theta

    @property
    def is_tied(self) -> Any:
        """Whether config.json says that the embedding serves as output head: the value as it stands there."""
        return self.config.get("tie_word_embeddings", False)

    def stated_dtype(self, otherwise: str) -> Any:
        """The type that config.json states, in version 5's place or in version 4's; `otherwise` if it states none."""
        return self.config.get("dtype", self.config.get("torch_dtype", otherwise))

    @property
    def embedding_dtype(self) -> str:
        """Torch's name of the type that the embedding is stored in."""
        return torch_name(next(tensor.dtype for tensor in read_tensors(self.folder) if tensor.name == EMBEDDING))

    @property
    def stored_dtypes(self) -> set[str]:
        """Safetensors' names of the types that the tensors are stored in."""
        return {tensor.dtype for tensor in read_tensors(self.folder)}

    @property
    def missing_experts(self) -> set[str]:
        """The experts' matrices that config.json promises, by the hub's names, and that are not stored; none in a Mistral."""
        layers, experts = self.config["num_hidden_layers"], self.config.get("num_local_experts") or 0
        places = product(range(layers), range(experts), ("w1", "w2", "w3"))
        names = {EXPERT.format(layer=layer, expert=expert, matrix=matrix) for layer, expert, matrix in places}
        return names - self.shapes.keys()

    def absolute_paths(self, *systems: type[PurePath]) -> Iterator[tuple[str, str]]:
        """Every text of config.json that is an absolute path on one of the systems, with the key that leads to it."""
        for key, text in strings(self.config, ""):
            if any(system(text).is_absolute() for system in systems):
                yield key, text


def strings(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, with the key that leads to it."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from strings(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from strings(inner, f"{key}[{number}]")
