"""Reads a byte-level BPE tokenizer, such as SmolLM2's, Llama 3's or Qwen's, from a model folder's `tokenizer.json`.

Text may change on the way to ids and back in two ways, both by the base model's own choice: Qwen normalises to NFC, and
SmolLM2 drops some control characters, for which it has no piece. `normalization` and `lacks` say so.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from components.errors import InputError
from components.formats.json_text import parse_json
from components.tokenizers.configuration import content, read_given
from components.tokenizers.tokenizer import Tokenizer

Specification: TypeAlias = dict[str, Any]
"""The values of a `tokenizer.json`."""

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(0x100) if byte not in _PRINTABLE]
ALPHABET = {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(0x100 + n) for n, byte in enumerate(_OTHERS)}
"""The letter that stands for each byte: itself if it is printable in Latin-1, else one from U+0100 on, as in GPT-2."""
_BYTES = {letter: byte for byte, letter in ALPHABET.items()}

TEXT_BYTES = frozenset({0x09, 0x0A, 0x0D, *range(0x20, 0x7F), *range(0x80, 0xC0), *range(0xC2, 0xF1), 0xF3})
"""The bytes of UTF-8 text, except control characters and planes that hold no characters or only private ones."""


@dataclass(frozen=True)
class BackendTokenizer(Tokenizer):
    """A tokenizer of the `tokenizers` library; `backend` is what `backend_of` returns."""

    backend: Any

    def encode(self, text: str) -> list[int]:
        """As the port says."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As the port says."""
        return [encoding.ids for encoding in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode_batch(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """As the port says."""
        texts: list[str] = self.backend.decode_batch([list(row) for row in rows], skip_special_tokens=True)
        return texts


@dataclass(frozen=True)
class ByteLevelTokenizer(BackendTokenizer):
    """A byte-level BPE tokenizer.

    Special tokens in text are text. Added tokens that the base model does not declare special, as Qwen's `<think>`, are tokens.
    """

    normalization: Literal["NFC"] | None
    lacks: frozenset[int]
    """Bytes that have no piece: characters that contain such a byte lose it."""


def read_byte_level(folder: Path) -> ByteLevelTokenizer:
    """The byte-level tokenizer of a model folder. Raises `InputError` as `read_specification`, or if BOS or EOS has no piece.

    From here on the `tokenizers` library works on one thread in this process: `pack` runs a process on every core.
    """
    specification = read_specification(folder)
    ids = specification["model"]["vocab"] | {token["content"]: token["id"] for token in specification["added_tokens"]}
    bos, eos = (_special_id(folder, key, ids) for key in ("bos_token", "eos_token"))
    lacks = frozenset(byte for byte, letter in ALPHABET.items() if letter not in ids)
    normalization: Literal["NFC"] | None = "NFC" if _steps(specification["normalizer"], "normalizers") else None
    backend = backend_of(specification, folder / "tokenizer.json")
    return ByteLevelTokenizer(max(ids.values()) + 1, bos, eos, backend, normalization, lacks)


def backend_of(specification: Specification, path: Path) -> Any:
    """The `tokenizers.Tokenizer` of a specification, on one thread, for text of any length in which nothing is special.

    Raises `InputError`, which names `path` and gives the library's own words, if the library cannot load the specification.
    """
    from tokenizers import Tokenizer as Backend

    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the library reads it at every call, and has no other switch
    try:
        backend = Backend.from_str(json.dumps(specification))
    except Exception as error:  # noqa: BLE001 (the library raises nothing finer)
        raise InputError(f"{path} is not a tokenizer that can be loaded ({error}). Fetch it again.") from None
    backend.encode_special_tokens = True
    backend.no_truncation()  # some folders were saved with the limits of the last batch
    backend.no_padding()
    return backend


def read_specification(folder: Path) -> Specification:
    """The values of `tokenizer.json`. Raises `InputError` if it is absent, of another family, or contradicts itself."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise InputError(f"{path} does not exist. Name a model folder that holds a byte-level BPE tokenizer.")
    try:
        specification = parse_json(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}). Fetch it again.") from None
    if not isinstance(specification, dict) or not isinstance(specification.get("model"), dict):
        raise InputError(f"{path} is not a tokenizer: a JSON object with a model was expected. Fetch it again.")
    for key, nothing in (("added_tokens", []), ("normalizer", None), ("pre_tokenizer", None), ("decoder", None)):
        specification.setdefault(key, nothing)
    try:
        _check_family(specification, path)
        _check_ids(specification, path)
    except (AttributeError, KeyError, TypeError):
        backend_of(specification, path)  # values of a wrong type: the library says which
        raise
    return specification


def spell(data: bytes) -> str:
    """The bytes, written in the letters of the vocabulary."""
    return "".join(ALPHABET[byte] for byte in data)


def bytes_of(piece: str) -> bytes | None:
    """The bytes that the letters of a piece stand for; None if one of them stands for no byte, as in some special tokens."""
    return bytes(_BYTES[letter] for letter in piece) if _BYTES.keys() >= set(piece) else None


def text_of_bytes(piece: str) -> str | None:
    """The text of a piece; None if its letters are not the bytes of whole characters."""
    data = bytes_of(piece)
    try:
        return None if data is None else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _steps(part: Any, key: str) -> list[dict[str, Any]]:
    """The steps of a normalizer, pre-tokenizer or decoder in order, with nested sequences flattened."""
    if part is None:
        return []
    if part.get("type") == "Sequence":
        return [step for inner in part[key] for step in _steps(inner, key)]
    return [part]


def _check_family(specification: Specification, path: Path) -> None:
    """Raises `InputError` unless the tokenizer is a byte-level BPE as in GPT-2 and the models that followed it."""
    model = specification["model"]
    kind = model.get("type", "BPE" if "merges" in model else "without a type")  # GPT-2's old file states none
    if kind != "BPE":
        raise InputError(
            f"{path}: its model is {kind!r}, but a byte-level 'BPE' was expected. "
            "Name a base model with a byte-level BPE tokenizer, or one with a SentencePiece tokenizer.model."
        )
    lacking = sorted(byte for byte in TEXT_BYTES if ALPHABET[byte] not in model.get("vocab", {}))
    steps = _steps(specification["pre_tokenizer"], "pretokenizers")
    splits = [str(step.get("type")) for step in steps]
    demands = {
        f"a piece for each byte of text (without one: {_list_bytes(lacking)})": not lacking,
        f"a ByteLevel pre-tokenizer, alone or after Split and Digits (found: {', '.join(splits) or 'none'})":
            splits[-1:] == ["ByteLevel"] and set(splits[:-1]) <= {"Split", "Digits"},
        "text kept whole by every Split": all(step.get("behavior") != "Removed" for step in steps),
        "no space put in front of text (add_prefix_space)": not any(step.get("add_prefix_space") for step in steps),
        "a ByteLevel decoder": [step.get("type") for step in _steps(specification["decoder"], "decoders")] == ["ByteLevel"],
        "no normaliser, or NFC": {step.get("type") for step in _steps(specification["normalizer"], "normalizers")} <= {"NFC"},
        "no dropout": not model.get("dropout"),
        "no byte_fallback": not model.get("byte_fallback"),
        "no marks on parts of words": not model.get("continuing_subword_prefix") and not model.get("end_of_word_suffix"),
    }
    if missing := [name for name, met in demands.items() if not met]:
        raise InputError(
            f"{path}: a byte-level BPE as SmolLM2, Llama 3 and Qwen have it was expected; not met: {'; '.join(missing)}. "
            "Name a base model with such a tokenizer, or one with a SentencePiece tokenizer.model."
        )


def _check_ids(specification: Specification, path: Path) -> None:
    """Raises `InputError` unless every id from 0 on belongs to exactly one piece."""
    if wrong := next(_contradictions(specification), None):
        raise InputError(f"{path}: {wrong}. Fetch the tokenizer again, or repair it, before its model is enlarged.")


def _contradictions(specification: Specification) -> Iterator[str]:
    """Says what is wrong with the ids."""
    vocabulary, names = specification["model"]["vocab"], dict[int, str]()
    added = [(token["content"], token["id"]) for token in specification["added_tokens"]]
    for name, times in Counter(name for name, _ in added).items():
        if times > 1:
            yield f"the added token {name!r} is there {times} times, once was expected"
        if (known := vocabulary.get(name)) not in (None, dict(added)[name]):
            yield f"the added token {name!r} has id {dict(added)[name]:,}, but {known:,} in the vocabulary"
    for name, number in [*vocabulary.items(), *added]:
        if names.setdefault(number, name) != name:
            yield f"id {number:,} belongs to {names[number]!r} and to {name!r}, one piece was expected"
    if gaps := sorted(set(range(max(names) + 1)) - names.keys()):
        yield f"{len(names):,} pieces have ids up to {max(names):,}, and the first id without a piece is {gaps[0]:,}"


def _special_id(folder: Path, key: str, ids: dict[str, int]) -> int | None:
    """The id of the `bos_token` or `eos_token` in tokenizer_config.json; None if it names none. Raises `InputError`."""
    token = read_given(folder).get(key)
    if token is None:
        return None
    name = content(token, folder / "tokenizer_config.json")
    if name not in ids:
        raise InputError(
            f"{folder / 'tokenizer_config.json'}: {key} is {name!r}, which is not a piece of tokenizer.json. "
            "Take both from one release."
        )
    return ids[name]


def _list_bytes(values: Sequence[int]) -> str:
    """The first few bytes in hexadecimal, and how many more there are."""
    more = f" and {len(values) - 4} more" if len(values) > 4 else ""
    return ", ".join(f"0x{value:02X}" for value in values[:4]) + more
