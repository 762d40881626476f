"""What a person may ask for: `params.yaml` or a recipe, a git reference and typed overrides; the form is made from this."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from components.base.plain_yaml import read_yaml, unshared, write_yaml
from components.errors import ParameterError
from components.params import Params, validate_params
from components.recipes import EXPERIMENT, Read, resolve_parameter_file

RECIPES = Path(__file__).parent.parent / "recipes"
NAMES = [EXPERIMENT, *sorted(path.stem for path in RECIPES.glob("*.yaml") if path.stem != EXPERIMENT)]
Recipe = StrEnum("Recipe", {name: name for name in NAMES})  # type: ignore[misc]

Rate = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0, le=10_000_000)]


class Form(BaseModel):
    """The base of the form's parts. Unknown keys are not accepted: a misspelt key is refused when the form is sent."""

    model_config = ConfigDict(extra="forbid")


class TrainOverrides(Form):
    """What people change most often about training; empty means: as the recipe says."""

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
    """One run of the line. Everything else is in `params.yaml` or the recipe, at the commit that the reference names."""

    recipe: Recipe = Field(Recipe(EXPERIMENT), description="params: the params.yaml at the top; any other: a file of recipes/")
    reference: str = Field("HEAD", min_length=1, max_length=200, description="git commit, branch or tag: code and parameters")
    overrides: Overrides = Overrides()
    values: list[Annotated[str, Field(pattern=r"^[a-z_]+(\.[A-Za-z0-9_]+)+=.+$")]] = Field(
        [], description="any other parameter, as section.key=value"
    )

    @property
    def file(self) -> str:
        """Where its parameters are, from the top of the clone."""
        return f"{EXPERIMENT}.yaml" if self.recipe == EXPERIMENT else f"recipes/{self.recipe}.yaml"


def parameters_of(request: Request, read: Read) -> Params:
    """The parameters that are asked for, from the files that `read` reads, whole and validated.

    Raises `ParameterError` naming file and key.
    """
    if request.recipe == EXPERIMENT and read(f"recipes/{EXPERIMENT}.yaml") is not None:
        raise ParameterError(f"recipes/{EXPERIMENT}.yaml: {EXPERIMENT!r} names the params.yaml at the top. Rename this recipe.")
    found = resolve_parameter_file(request.file, read)
    return resolve_parameters(found.values, request, found.where)


def resolve_parameters(recipe: dict[str, Any], request: Request, where: str) -> Params:
    """Whole parameters with the overrides put in, validated. Raises `ParameterError` naming the key."""
    values = unshared(recipe, where)  # an override is to touch one place
    for section, fields in request.overrides.model_dump(exclude_none=True).items():
        for key, value in fields.items():
            put(values, f"{section}.{key}", value)
    for assignment in request.values:
        path, _, text = assignment.partition("=")
        put(values, path, read_yaml(text, f"--set {path}"))
    return validate_params(values, where)


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Sets one existing key by its dotted path. Raises `ParameterError` naming the keys that exist there."""
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
    """The value below `part`. Raises `ParameterError` if there is none."""
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
    return write_yaml(params.model_dump(mode="json"))
