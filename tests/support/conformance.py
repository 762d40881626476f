"""Finds every breach of the project's rules for components: what a newcomer's component is checked for.

Called by the tests. A stage's contract is the abstract class in `components/<stage>/contract.py`; a component is any concrete
subclass of it with a `kind`.
"""

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

from components.base.component import Component, Report

STAGE_FOLDERS = ("collect", "clean", "expand", "pack", "train", "evaluate", "publish")


def contract_of(stage: str) -> type[Component]:
    """The stage's abstract class."""
    module = importlib.import_module(f"components.{stage}.contract")
    return next(c for c in classes(module) if issubclass(c, Component))


def classes(module: ModuleType) -> list[type[Any]]:
    """The classes that a module defines itself."""
    return [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]


def defined(stage: str) -> set[type[Component]]:
    """Every component that the stage's folder defines, listed or not; worker modules are not imported."""
    package = importlib.import_module(f"components.{stage}")
    contract = contract_of(stage)
    found: set[type[Component]] = set()
    for name in (m.name for m in pkgutil.iter_modules(package.__path__) if "worker" not in m.name and m.name != "contract"):
        module = importlib.import_module(f"components.{stage}.{name}")
        found |= {c for c in classes(module) if issubclass(c, contract)}
    return found


def listed(annotation: Any) -> set[type[Component]]:
    """The alternatives of a union of `components.params`, whether it has one or several."""
    return set(get_args(annotation)) or {annotation}


def breaches(component: type[Component], stage: str) -> list[str]:
    """What is wrong with a component; empty if it conforms."""
    contract = contract_of(stage)
    rules = [
        (issubclass(component, contract), f"does not subclass {contract.__name__}"),
        (not inspect.isabstract(component), "leaves `run` abstract"),
        (is_literal(component, "kind", str), "has no `kind: Literal[\"…\"]`"),
        (is_literal(component, "version", int), "has no `version: Literal[…]`"),
        (component.model_config.get("frozen") is True, "is not frozen"),
        (component.model_config.get("extra") == "forbid", "accepts unknown keys"),
        (bool((component.__doc__ or "").strip()), "has no docstring"),
        (bool((component.run.__doc__ or "").strip()), "has no docstring on `run`"),  # type: ignore[attr-defined]
        (parameters(component) == parameters(contract), f"takes {parameters(component)}, the contract {parameters(contract)}"),
        (returns(component) == returns(contract), f"returns {returns(component)}, the contract {returns(contract)}"),
        (issubclass(returns(contract), Report), "has a contract that returns no Report"),
    ]
    found = [f"{component.__name__} {words}" for holds, words in rules if not holds]
    return found + [f"{component.__name__}.{name} has a default" for name in defaulted(component)]


def is_literal(component: type[Component], name: str, kind: type) -> bool:
    """True if the field is one literal of the type."""
    field = component.model_fields.get(name)
    if field is None or get_origin(field.annotation) is not Literal:
        return False
    values = get_args(field.annotation)
    return len(values) == 1 and isinstance(values[0], kind)


def defaulted(component: type[Component]) -> list[str]:
    """The fields that have a default."""
    return [name for name, field in component.model_fields.items() if not field.is_required()]


def parameters(component: type[Component]) -> list[str]:
    """The names that `run` takes, after self."""
    return list(inspect.signature(component.run).parameters)[1:]  # type: ignore[attr-defined]


def returns(component: type[Component]) -> Any:
    """What `run` says it returns."""
    return inspect.signature(component.run).return_annotation  # type: ignore[attr-defined]
