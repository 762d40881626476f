"""A value means the same to everybody who reads it: YAML 1.2, one message for whatever is not read, and a way back."""

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.base.plain_yaml import read_yaml, unshared, write_yaml
from components.errors import ParameterError

VALUES: dict[str, Any] = {
    "0100": "0100", "-012": "-012", "00": "00", "0": 0, "-0": 0, "+5": 5, "12": 12, "1_000": "1_000",
    "0x1f": "0x1f", "0o14": "0o14",
    "0b11": "0b11", "1:30": "1:30", "190:20:30": "190:20:30", "1e-4": 1e-4, "1E5": 1e5, "1e2": 100.0, ".5": 0.5, "5.": 5.0,
    "-1.5e+3": -1500.0, "01.5": "01.5", "1e400": "1e400", "-1e999": "-1e999", "nan": "nan", ".nan": ".nan",
    "inf": "inf", ".inf": ".inf", "-.inf": "-.inf",
    "yes": "yes", "No": "No", "on": "on", "OFF": "OFF", "y": "y", "true": True, "False": False,
    "null": None, "~": None,
    "": None, "2024-01-01": "2024-01-01", "2024-01-01 10:00:00": "2024-01-01 10:00:00", "[ja, no]": ["ja", "no"], "=": "=",
    "'1'": "1", '"0100"': "0100", "{a: 1}": {"a": 1}, "１２": "１２",
}  # fmt: skip
REFUSED = {
    "a: 1\na: 2": "line 2 .*the key 'a' stands here a second time", "x: {b: 1, 'b': 2}": "the key 'b' stands here",
    "train: {}\nclean: {}\ntrain: {}": "line 3 .*'train'", "a: 1\n---\nb: 2": "another document", "a: *b": "undefined alias",
    "&a [*a]": "nested deeper", "<<: {a: 1}": "merge keys", "x: &x {a: 1}\ny: {<<: *x}": "line 2 .*merge keys",
    "!!python/object/apply:os.system [true]": "could not determine a constructor for the tag", "!mine 1": "!mine",
    "!!binary aGk=": "binary", "!!set {a}": "set", "? [a]\n: b": "a key must be a word or a number", "a: [1": "line 1",
    "a:\n\u00a0 b: 1": "line 2 holds U\\+00A0 \\(no-break space\\)", "a\u0085b: 1": "U\\+0085", "a: x\u2028b: 1": "U\\+2028",
    "\ufeffa: 1": "U\\+FEFF", "a:\n\u3000b: 1": "line 2 holds U\\+3000", "\ta: 1": "line 1",
    "a: \x07": "line 1|special characters",
    "[" * 3000: "too deeply",
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_a_value_is_what_version_1_2_says(text: str, value: Any) -> None:
    found = read_yaml(text, "f.yaml")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("text", "words"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_not_read_is_one_message_that_names_the_file(text: str, words: str) -> None:
    with pytest.raises(ParameterError, match=f"^f\\.yaml.*({words})"):
        read_yaml(text, "f.yaml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp932", "euc_jp", "latin-1"])
def test_a_file_that_is_not_utf_8_is_named_with_its_line(encoding: str) -> None:
    comment = "é" if encoding == "latin-1" else "コメント"
    words = r"^f\.yaml, line \d+ (is not UTF-8 \(byte 0x..\)|is not YAML|holds)|^f\.yaml is not YAML"
    with pytest.raises(ParameterError, match=words):
        read_yaml(f"a: 1\nb: 2  # {comment}\n".encode(encoding), "f.yaml")


def test_an_alias_is_a_copy() -> None:
    found = read_yaml("a: &x {y: [1]}\nb: *x\nc: [*x, *x]", "f.yaml")
    found["a"]["y"].append(2)
    assert found["b"] == {"y": [1]}
    assert found["c"] == [{"y": [1]}, {"y": [1]}]


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]" for n in range(9)]
    with pytest.raises(ParameterError, match=r"f\.yaml holds more than 100,000 values"):
        read_yaml("\n".join(lines), "f.yaml")


def test_values_shared_in_memory_are_told_apart() -> None:
    inner = [1]
    found = unshared({"a": inner, "b": inner}, "values")
    found["a"].append(2)
    assert found["b"] == [1]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff"))
    | st.sampled_from([text for text in VALUES if text]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@given(PLAIN)
def test_what_is_written_is_read_back_by_either_version(value: Any) -> None:
    text = write_yaml({"value": value})
    assert read_yaml(text, "f.yaml") == {"value": value}
    assert yaml.safe_load(text) == {"value": value}


def test_no_number_is_read_that_is_none() -> None:
    for text in VALUES:
        found = read_yaml(text, "f.yaml")
        assert not isinstance(found, float) or math.isfinite(found)
