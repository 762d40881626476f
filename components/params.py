"""The registry: which alternatives each stage has. One file and one line here add another.

It reads `params.yaml` into `Params`. Section, stage, folder and union carry the same name; `pack_base` and `train_base` are
the same stages a second time, for the base model that the line starts from.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from components.base.component import Component
from components.base.fields import Fields
from components.clean.passthrough import PassthroughCleaner
from components.clean.swallow import SwallowCleaner
from components.collect.warc import WarcCollector
from components.errors import ParameterError
from components.evaluate.lm_eval import LMEvaluator
from components.expand.byte_level import ByteLevelExpander
from components.expand.passthrough import PassthroughExpander
from components.expand.sentencepiece import SentencePieceExpander
from components.pack.mixture import MixturePacker
from components.pack.passthrough import PassthroughPacker
from components.publish.folder import FolderPublisher
from components.recipes import read_parameters
from components.train.deepspeed import DeepSpeedTrainer
from components.train.passthrough import PassthroughTrainer

Collect: TypeAlias = WarcCollector
Clean = Annotated[SwallowCleaner | PassthroughCleaner, Field(discriminator="kind")]
Expand = Annotated[SentencePieceExpander | ByteLevelExpander | PassthroughExpander, Field(discriminator="kind")]
Pack = Annotated[MixturePacker | PassthroughPacker, Field(discriminator="kind")]
Train = Annotated[DeepSpeedTrainer | PassthroughTrainer, Field(discriminator="kind")]
Evaluate: TypeAlias = LMEvaluator
Publish: TypeAlias = FolderPublisher


class Params(Fields):
    """A whole experiment: one section for each stage of `dvc.yaml`, in running order."""

    collect: Collect
    clean: Clean
    pack_base: Pack
    train_base: Train
    expand: Expand
    pack: Pack
    train: Train
    evaluate: Evaluate
    publish: Publish


STAGES: tuple[str, ...] = tuple(Params.model_fields)


def load_params(path: Path) -> Params:
    """Reads and validates a parameter file. Raises `ParameterError` naming the file, the key and what was expected."""
    found = read_parameters(path)
    return validate_params(found.values, found.where)


def validate_params(values: object, where: str) -> Params:
    """Validates parsed parameters; `where` names them in the error."""
    try:
        # as JSON: there a word is never taken for a number, nor a number for a truth
        return Params.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise ParameterError(explain(error, where, values)) from None


def preflight(params: Params) -> list[str]:
    """What would stop a run in a stage days from now, as far as it is known already."""
    return [f"{stage}: {words}" for stage in STAGES for words in component_of(params, stage).preflight()]


def component_of(params: Params, section: str) -> Component:
    """The component that a section builds. Raises `ParameterError` for an unknown section."""
    if section not in STAGES:
        raise ParameterError(f"{section!r} is not a stage. The stages are: {', '.join(STAGES)}.")
    component: Component = getattr(params, section)
    return component


def build_component(section: str, values: Mapping[str, Any]) -> Component:
    """The component of a section, from its parameters alone. Raises `ParameterError` naming the key."""
    try:
        component: Component = TypeAdapter(Params.model_fields[section].rebuild_annotation()).validate_python(dict(values))
    except ValidationError as error:
        raise ParameterError(explain(error, section, values)) from None
    return component


def explain(error: ValidationError, where: str, values: object) -> str:
    """A validation error in words: where, which key of `values`, what was found, what was expected."""
    lines = [f"{where} does not describe a run:"]
    for item in error.errors():
        key = ".".join(map(str, written_key(item["loc"], values)))
        lines.append(f"  {key}: {advice(item['type'], item['msg'], key)}{found(item)}")
    return "\n".join(lines)


def written_key(place: Sequence[str | int], values: object) -> Iterator[str | int]:
    """The keys that lead to a place, as they are written: pydantic puts an alternative's `kind` in between."""
    node, may_be_kind = values, True
    for part in place:
        if may_be_kind and isinstance(node, Mapping) and node.get("kind") == part:
            may_be_kind = False  # once a mapping: the next one of this name is a key
            continue
        yield part
        inner = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
        node, may_be_kind = next((value for key, value in inner if str(key) == str(part)), None), True


def advice(kind: str, message: str, key: str) -> str:
    """Pydantic's message, or a clearer one if there is a next step to name."""
    name = key.rsplit(".", 1)[-1]
    if kind == "extra_forbidden":
        return f"there is no such parameter; check the spelling of {name!r} or remove it"
    if kind == "missing":
        return f"is missing; nothing is defaulted, so spell {name!r} out"
    if kind == "string_pattern_mismatch" and key.startswith("values."):
        return "expected section.key=value, such as train.steps=100"
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def found(item: object) -> str:
    """What was found under the key, if that is short enough to help."""
    assert isinstance(item, dict)
    value = item.get("input")
    return f" (found {value!r})" if item["type"] != "missing" and isinstance(value, str | int | float | bool) else ""
