"""Writes `docs/reference/` from the code (`make docs`). A test says when the pages are out of date."""

import ast
import inspect
import re
import textwrap
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.cli import get_docs_for_click

from components import params
from components.base.component import Component
from flows.cli import app

FOLDER = Path(__file__).parent / "reference"


def pages() -> dict[str, str]:
    """Every generated page, by file name."""
    return {"command.md": command_page(), "parameters.md": parameters_page()}


def command_page() -> str:
    """The `martlet` command, from its own help."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="martlet")
    return re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n"


def parameters_page() -> str:
    """Every alternative of every stage, with its fields."""
    parts = [
        "# Parameters\n\nOne section a stage; `kind` chooses the alternative. No field has a default. `pack_base` and "
        "`train_base` take what `pack` and `train` take.\n"
    ]
    for stage in ("collect", "clean", "expand", "pack", "train", "evaluate", "publish"):
        parts.append(f"## {stage}\n")
        parts += [model_section(component) for component in alternatives(getattr(params, stage.capitalize()))]
    return "\n".join(parts)


def alternatives(union: Any) -> list[type[Component]]:
    """The components of a union of the registry, in its order."""
    inner = get_args(union)[0] if hasattr(union, "__metadata__") else union
    return list(get_args(inner)) or [inner]


def model_section(model: type[BaseModel], level: int = 3) -> str:
    """One model: its docstring, a table of its fields, and the models that stand in its fields."""
    title = f"{'#' * level} `{name_of(model)}`\n\n{inspect.cleandoc(model.__doc__ or '')}\n"
    rows = ["| field | type | |", "|---|---|---|"]
    words = attribute_docstrings(model)
    rows += [field_row(name, field, words.get(name, "")) for name, field in model.model_fields.items()]
    nested = [model_section(inner, level + 1) for field in model.model_fields.values() for inner in models_in(field.annotation)]
    return "\n".join([title, *rows, "", *nested])


def name_of(model: type[BaseModel]) -> str:
    """`kind: x` for an alternative, the class's name for a part of one."""
    kind = model.model_fields.get("kind")
    return f"kind: {get_args(kind.annotation)[0]}" if kind else model.__name__


def attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field, by the field's name; pydantic could read it too, but would at every import."""
    found: dict[str, str] = {}
    for owner in reversed([c for c in model.__mro__ if c.__module__.startswith("components.")]):
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body  # type: ignore[attr-defined]
        for field, below in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                found[field.target.id] = " ".join(ast.literal_eval(below.value).split())
    return found


def field_row(name: str, field: FieldInfo, words: str) -> str:
    """A line of the table."""
    limits = ", ".join(limit_words(limit) for limit in field.metadata)
    return f"| `{name}` | {type_words(field.annotation)} | {'; '.join(part for part in (words, limits) if part)} |"


def limit_words(limit: Any) -> str:
    """A constraint, in the usual notation."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "length ≥", "pattern": "matches"}
    return ", ".join(f"{sign} `{getattr(limit, key)}`" for key, sign in signs.items() if getattr(limit, key, None) is not None)


def type_words(annotation: Any) -> str:
    """A type, readable in a table."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(type_words(part) for part in inner)
    if origin is Annotated:
        return type_words(inner[0])
    if annotation is NoneType:
        return "`null`"
    if inner:
        words = (type_words(part) for part in inner if part is not Ellipsis)
        return f"{origin.__name__} of {', '.join(words)}"
    return name_of(annotation) if issubclass(annotation, BaseModel) else annotation.__name__


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation, in order."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is None:
        return []
    return [model for inner in get_args(annotation) for model in models_in(inner)]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
