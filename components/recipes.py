"""Reads the whole parameters of a file: a file of `recipes/` is composed of others, any other file stands for itself.

`base: NAME`, at the top of a recipe, starts from another recipe. `use: NAME`, or a list of names, in any mapping puts in the
blocks `recipes/blocks/NAME.yaml`. What stands nearer wins: the blocks, in their order, win over the base, and the keys next
to `use` win over the blocks. Mappings merge by key. Everything else replaces, lists included, and so does a mapping of
another `kind`, because one alternative's fields are not another's. A block may be a list: as an element of a list, it stands
for its own elements.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import Any

from components.base.plain_yaml import read_yaml
from components.errors import ParameterError

EXPERIMENT = "params"
"""The name of `params.yaml` among the names of recipes; no recipe may take it."""
FOLDER = "recipes"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Read = Callable[[str], bytes | None]
"""Returns a file's bytes by its path, in a folder or in a commit; None if there is no such file."""


@dataclass(frozen=True)
class WholeParameters:
    """Sections with everything put in, not validated yet, and the files that they come from, the one asked for first."""

    values: dict[str, Any]
    files: tuple[str, ...]

    @property
    def where(self) -> str:
        """The files, for messages."""
        first, *others = self.files
        return f"{first} (made with {', '.join(others)})" if others else first


@dataclass(frozen=True)
class Place:
    """Where a value stands: the files that led there, the innermost last, and its key in that one."""

    files: tuple[str, ...]
    key: str = ""

    def below(self, key: object) -> "Place":
        """One key deeper."""
        return Place(self.files, f"{self.key}.{key}" if self.key else str(key))

    def error(self, words: str) -> ParameterError:
        """An error that names file and key."""
        return ParameterError(": ".join(part for part in (self.files[-1], self.key, words) if part))


def read_parameters(path: Path) -> WholeParameters:
    """The parameters of a file of the working tree. Raises `ParameterError` naming file and key."""
    return resolve_parameter_file(str(path), read_bytes)


def read_bytes(path: str) -> bytes | None:
    """The bytes of a file of the working tree."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None


def resolve_parameter_file(path: str, read: Read) -> WholeParameters:
    """The parameters of the file that `read` has at `path`. Raises `ParameterError` naming file and key."""
    text = read(path)
    if text is None:
        raise ParameterError(f"{path} does not exist. Name a file of recipes/, or write one.")
    values, place, folder = sections(text, Place((path,))), Place((path,)), PurePosixPath(path).parent
    if folder.name != FOLDER:
        refuse_composition(values, place)
        return WholeParameters(values, (path,))
    resolver = Resolver(read, folder)
    return WholeParameters(resolver.recipe(values, place), (path, *resolver.parsed))


class Resolver:
    """One folder of recipes and its blocks."""

    def __init__(self, read: Read, folder: PurePosixPath) -> None:
        self.read, self.folder = read, folder
        self.parsed: dict[str, Any] = {}
        """What was put in, by the files' names, in the order of reading."""

    def recipe(self, own: dict[str, Any], place: Place) -> dict[str, Any]:
        """A recipe's sections, whole: its base's, and over them its own."""
        if place.files[-1] == str(self.folder / f"{EXPERIMENT}.yaml"):
            raise place.error(f"a recipe cannot be called {EXPERIMENT!r}: that names the params.yaml at the top. Rename it.")
        whole = self.mapping({key: value for key, value in own.items() if key != "base"}, place)
        if "base" not in own:
            return whole
        values, base = self.open(own["base"], "", place.below("base"))
        changed: dict[str, Any] = merged(self.recipe(mapping_of(values, base), base), whole)
        return changed

    def open(self, name: object, kind: str, asked: Place) -> tuple[Any, Place]:
        """What stands in a file that is named at the place `asked`, and the place of its top."""
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise asked.error(f"expected the name of a file of {self.folder / kind}/, without its suffix, found {name!r}.")
        file = str(self.folder / kind / f"{name}.yaml")
        if file in asked.files:
            raise asked.error(f"{file} is made of itself: {' → '.join((*asked.files, file))}. Remove one of these steps.")
        place = Place((*asked.files, file))
        if file not in self.parsed:
            text = self.read(file)
            if text is None:
                raise asked.error(f"there is no {file}.")
            self.parsed[file] = parse(text, place)
        return self.parsed[file], place

    def value(self, value: Any, place: Place) -> Any:
        """A value with its blocks put in."""
        if isinstance(value, dict):
            return self.mapping(value, place)
        if isinstance(value, list):
            return [whole for i, element in enumerate(value) for whole in self.elements(element, place.below(i))]
        return value

    def mapping(self, value: dict[Any, Any], place: Place) -> dict[Any, Any]:
        """A mapping: its blocks in their order, and its own keys over them."""
        own = {key: self.value(inner, place.below(key)) for key, inner in value.items() if key != "use"}
        if "use" not in value:
            return own
        blocks = self.blocks(value["use"], place.below("use"))
        if not all(isinstance(block, dict) for block in blocks):
            raise place.below("use").error("a block that is a list can only be an element of a list.")
        return reduce(merged, [*blocks, own])

    def elements(self, element: Any, place: Place) -> list[Any]:
        """What an element of a list stands for: itself, or the elements of the blocks that it uses."""
        if isinstance(element, dict) and set(element) == {"use"}:
            blocks = self.blocks(element["use"], place.below("use"))
            if all(isinstance(block, list) for block in blocks):
                return [whole for block in blocks for whole in block]
        return [self.value(element, place)]

    def blocks(self, names: object, place: Place) -> list[Any]:
        """The blocks that a `use` names, whole."""
        return [self.block(*self.open(name, "blocks", place)) for name in (names if isinstance(names, list) else [names])]

    def block(self, value: Any, place: Place) -> Any:
        """A block, whole."""
        if not isinstance(value, dict | list):
            raise place.error(f"a block is a mapping or a list, found {value!r}.")
        if isinstance(value, dict) and "base" in value:
            raise place.below("base").error("only a recipe starts from another one. A block may `use` others.")
        return self.value(value, place)


def merged(below: Any, above: Any) -> Any:
    """`above` over `below`: by key if both are mappings and not of two kinds."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    if "kind" in below and above.get("kind", below["kind"]) != below["kind"]:
        return above
    return below | {key: merged(below[key], value) if key in below else value for key, value in above.items()}


def sections(text: bytes, place: Place) -> dict[str, Any]:
    """The top of a parameter file."""
    return mapping_of(parse(text, place), place)


def parse(text: bytes, place: Place) -> Any:
    """The parsed YAML. Raises `ParameterError` if the text is not YAML."""
    return read_yaml(text, place.files[-1])


def mapping_of(value: Any, place: Place) -> dict[str, Any]:
    """The value itself. Raises `ParameterError` if it is not a mapping."""
    if not isinstance(value, dict):
        raise place.error("holds no sections. Start from a file of recipes/.")
    return value


def refuse_composition(value: Any, place: Place) -> None:
    """Raises `ParameterError` if a file that stands for itself says `base` or `use`."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key == "use" or (key == "base" and not place.key):
            raise place.below(key).error(
                "DVC reads this file as it stands, so it must be whole; only files of recipes/ are composed. "
                "`martlet recipe show RECIPE` prints a recipe whole."
            )
        refuse_composition(inner, place.below(key))
