"""YAML read as version 1.2 means it, and written so that nobody misreads it.

PyYAML reads version 1.1, in which `0100` is 64, `1:30` is 90 and `no` is false. Here a plain scalar is null, true or false, a
decimal number, or a string. Beyond the standard: a number with leading zeros is a string, for what it means differs between
readers; one that no float can hold is a string; a key that is stated twice, a merge key and a foreign tag are refused.
"""

import math
import re
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from components.errors import ParameterError

NUMBER = r"[-+]?(?:0|[1-9][0-9]*)"
INT = re.compile(rf"{NUMBER}$")
FLOAT = re.compile(rf"(?:{NUMBER}(?:\.[0-9]*)?|[-+]?\.[0-9]+)(?:[eE][-+]?[0-9]+)?$")
MOST_VALUES = 100_000
"""In one file, aliases expanded: a dozen lines of aliases of aliases would fill the memory."""
DEEPEST = 50
"""Levels of nesting."""
INVISIBLE = {"\x85": "NEL", "\u2028": "line separator", "\u2029": "paragraph separator", "\ufeff": "byte order mark"}

TAGS = {
    "tag:yaml.org,2002:null": (re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    "tag:yaml.org,2002:int": (INT, list("-+0123456789")),
    "tag:yaml.org,2002:float": (FLOAT, list("-+.0123456789")),
}


class PlainLoader(yaml.SafeLoader):
    """Reads version 1.2's core schema."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's way to have a table per class)


class PlainDumper(yaml.SafeDumper):
    """Quotes every string that a reader of version 1.1 or of 1.2 would take for something else; shares nothing by alias."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: list(rules) for first, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (PyYAML's)
        """Values are written out wherever they stand."""
        return True


for _tag, (_pattern, _first) in TAGS.items():
    for _kind in (PlainLoader, PlainDumper):
        _kind.add_implicit_resolver(_tag, _pattern, _first)


def _mapping(loader: Any, node: Any) -> dict[Any, Any]:
    """A mapping in which every key stands once. Raises `yaml.YAMLError`."""
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key, problem = loader.construct_object(key_node, deep=True), ""
        if key_node.value == "<<":
            problem = "merge keys (<<) are not read; state the keys"
        elif not isinstance(key, str | int | float | bool | None):
            problem = "a key must be a word or a number"
        elif key in found:
            problem = f"the key {key!r} stands here a second time"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _int(loader: PlainLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _float(loader: PlainLoader, node: yaml.ScalarNode) -> float | str:
    """A number; the text itself if no float can hold it."""
    text = str(loader.construct_scalar(node))
    value = float(text)
    return value if math.isfinite(value) else text


PlainLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
PlainLoader.add_constructor("tag:yaml.org,2002:int", _int)
PlainLoader.add_constructor("tag:yaml.org,2002:float", _float)
for _unread in ("timestamp", "binary", "set", "omap", "pairs", "merge", "value"):
    PlainLoader.yaml_constructors.pop(f"tag:yaml.org,2002:{_unread}", None)


def read_yaml(text: str | bytes, where: str) -> Any:
    """The value of a YAML text, with no part shared between two places.

    Raises `ParameterError`, which names `where` and the line, if it is not UTF-8, not YAML, or holds what is not read here.
    """
    words = _decoded(text, where)
    _refuse_invisible(words, where)
    try:
        return unshared(yaml.load(words, PlainLoader), where)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ParameterError(f"{where}{line} is not YAML as it is read here: {error.problem or error}.") from None
    except yaml.YAMLError as error:
        raise ParameterError(f"{where} is not YAML: {error}") from None
    except RecursionError:
        raise ParameterError(f"{where} is nested too deeply, or contains itself.") from None


def read_yaml_file(path: Path) -> Any:
    """The value of a file. Raises `ParameterError` as `read_yaml`; `FileNotFoundError`."""
    return read_yaml(path.read_bytes(), str(path))


def unshared(value: Any, where: str) -> Any:
    """The value, built anew: no list or mapping stands in two places. Raises `ParameterError` if it is too large."""
    left = [MOST_VALUES]

    def copy(node: Any, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > DEEPEST:
            raise ParameterError(f"{where} holds more than {MOST_VALUES:,} values, or is nested deeper than {DEEPEST} levels.")
        if isinstance(node, dict):
            return {key: copy(inner, depth + 1) for key, inner in node.items()}
        if isinstance(node, list):
            return [copy(inner, depth + 1) for inner in node]
        return node

    return copy(value, 0)


def write_yaml(value: Any) -> str:
    """The value as YAML, its keys in their order."""
    text: str = yaml.dump(value, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def _decoded(text: str | bytes, where: str) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise ParameterError(
            f"{where}, line {line} is not UTF-8 (byte {text[error.start]:#04x}). Save the file as UTF-8, comments too."
        ) from None


def _refuse_invisible(text: str, where: str) -> None:
    """Raises `ParameterError` naming the line of a character that looks like another one, or like nothing."""
    for number, line in enumerate(text.split("\n"), 1):
        indent = line[: len(line) - len(line.lstrip())]
        strange = next((c for c in line if c in INVISIBLE), None) or next((c for c in indent if c not in " \t\r"), None)
        if strange is not None:
            name = INVISIBLE.get(strange) or unicodedata.name(strange, "a character without a name").lower()
            raise ParameterError(f"{where}, line {number} holds U+{ord(strange):04X} ({name}). Remove it, or write a space.")
