"""What a person may ask for: a recipe, a git reference and typed overrides; the form of the deployment is made from it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from components.errors import ParameterError
from components.params import Params, validate_params

RECIPES = Path(__file__).parent.parent / "recipes"
Recipe = StrEnum("Recipe", {path.stem: path.stem for path in sorted(RECIPES.glob("*.yaml"))})  # type: ignore[misc]

Rate = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0, le=10_000_000)]


class Form(BaseModel):
    """Nothing unknown is accepted: a misspelt key is refused when the form is sent."""

    model_config = ConfigDict(extra="forbid")


class TrainOverrides(Form):
    """What people change most about training; empty means: as the recipe says."""

    learning_rate: Rate | None = Field(None, description="peak learning rate of AdamW")
    minimum_learning_rate: Rate | None = Field(None, description="where the cosine ends")
    warmup_steps: Count | None = Field(None, description="linear warm-up, in optimizer steps")
    steps: Count | None = Field(None, description="optimizer steps")
    global_batch_size: Count | None = Field(None, description="sequences per optimizer step, over all ranks")
    seed: int | None = Field(None, ge=0, le=2**31 - 1)


class ExpandOverrides(Form):
    """Vocabulary."""

    pieces: Count | None = Field(None, description="size of the whole vocabulary after expansion")


class Overrides(Form):
    """Sections of `params.yaml`, as far as the form offers them."""

    train: TrainOverrides = TrainOverrides()
    train_base: TrainOverrides = TrainOverrides()
    expand: ExpandOverrides = ExpandOverrides()


class Request(Form):
    """One run of the line. Everything else is in the recipe, at the commit that the reference names."""

    recipe: Recipe = Field(Recipe("smoke"), description="a file of recipes/")
    reference: str = Field("HEAD", min_length=1, max_length=200, description="git commit, branch or tag: code and recipe")
    overrides: Overrides = Overrides()
    values: list[Annotated[str, Field(pattern=r"^[a-z_]+(\.[A-Za-z0-9_]+)+=.+$")]] = Field(
        [], description="any other parameter, as section.key=value"
    )


def resolve_parameters(recipe: object, request: Request, where: str) -> Params:
    """The recipe with the overrides put in, validated. Raises `ParameterError` naming the key."""
    if not isinstance(recipe, dict):
        raise ParameterError(f"{where} holds no sections. Start from a file of recipes/.")
    values = yaml.safe_load(yaml.safe_dump(recipe))  # a deep copy that holds nothing but plain values
    for section, fields in request.overrides.model_dump(exclude_none=True).items():
        for key, value in fields.items():
            put(values, f"{section}.{key}", value)
    for assignment in request.values:
        path, _, text = assignment.partition("=")
        put(values, path, parse_value(text))
    return validate_params(values, where)


def parse_value(text: str) -> Any:
    """A value as YAML reads it (`1e-4` too, which YAML 1.1 takes for a word)."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Sets one existing key by its dotted path. Raises `ParameterError` naming the nearest keys that there are."""
    *parents, last = path.split(".")
    node: Any = values
    for depth, part in enumerate(parents):
        node = child(node, part, ".".join(parents[: depth + 1]))
    child(node, last, path)
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[key_in(node, last)] = value


def child(node: Any, part: str, path: str) -> Any:
    """What stands below `part`. Raises `ParameterError` where nothing does."""
    if isinstance(node, list) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    if isinstance(node, dict) and key_in(node, part) is not None:
        return node[key_in(node, part)]
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    there = ", ".join(str(key) for key in keys) or "none below it"
    raise ParameterError(f"{path}: there is no such parameter to set. There are: {there}.")


def key_in(node: dict[Any, Any], part: str) -> Any:
    """The key of a mapping that is written `part` (a YAML key may be a number)."""
    return next((key for key in node if str(key) == part), None)


def render(params: Params) -> str:
    """`params.yaml`: every section in running order, every value spelled out."""
    return yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
