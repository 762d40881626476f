"""Reads and checks what a base model's `tokenizer_config.json` says of special tokens and chat, to keep it in an expansion.

The names of the special tokens, whether BOS stands before a text and EOS after it, the chat template and the padding side
are kept. How text is split is said by `tokenizer.json`, and the other keys belong to tokenizer classes that we do not write.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from components.errors import InputError
from components.formats.json_text import parse_json
from components.tokenizers.sentencepiece import Proto

CONFIG = "tokenizer_config.json"
KEPT = (
    "add_bos_token", "add_eos_token", "pad_token", "additional_special_tokens", "extra_special_tokens", "chat_template",
    "padding_side", "truncation_side", "split_special_tokens", "clean_up_tokenization_spaces",
)
ROLES = {"bos_token": "bos_piece", "eos_token": "eos_piece", "unk_token": "unk_piece"}
Stated: TypeAlias = tuple[str, int | None, str]
"""A special token's text, its id if one is stated, and the file that states them."""


def tokenizer_config(folder: Path, proto: Proto) -> dict[str, Any]:
    """The `tokenizer_config.json` to write for this model: the folder's own settings, if it has any, over the defaults.

    By default BOS stands in front, EOS does not follow, and text that spells a special token, as in "</s>", stays text;
    with a chat template it becomes the token, because a template spells special tokens. Raises `InputError` if a special
    token is not a piece of the vocabulary, or has two ids.
    """
    given = read_given(folder)
    check_proto_specials(folder, given, proto)
    chat = "chat_template" in given or (folder / "chat_template.jinja").exists()
    defaults = {
        "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, "split_special_tokens": not chat,
    }
    names = {role: getattr(proto.trainer_spec, field) for role, field in ROLES.items()}
    return {"tokenizer_class": "PreTrainedTokenizerFast", **names, **defaults, **{k: given[k] for k in KEPT if k in given}}


def read_given(folder: Path) -> dict[str, Any]:
    """The values of the folder's `tokenizer_config.json`, if any. Raises `InputError` if it is not a JSON object."""
    return _read_object(folder / CONFIG)


def _read_object(path: Path) -> dict[str, Any]:
    """The file's values; none if it is absent. Raises `InputError` if it is not a JSON object."""
    try:
        given = parse_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}). Fetch the tokenizer again.") from None
    if not isinstance(given, dict):
        raise InputError(f"{path} holds no JSON object. Fetch the tokenizer again.")
    return given


def check_proto_specials(folder: Path, given: Mapping[str, Any], proto: Proto) -> None:
    """`check_specials` of a SentencePiece model; also, the folder must name the same BOS, EOS and unknown piece."""
    check_specials(folder, given, {piece.piece: number for number, piece in enumerate(proto.pieces)}, "tokenizer.model")
    for role, field in ROLES.items():
        own = getattr(proto.trainer_spec, field)
        if given.get(role) is not None and (text := content(given[role], folder / CONFIG)) != own:
            raise InputError(
                f"{folder}: tokenizer_config.json states {role} {text!r}, but that of tokenizer.model is {own!r}. "
                "Take both files from one release, or name the one that the model was trained with in both."
            )


def check_specials(folder: Path, given: Mapping[str, Any], numbers: Mapping[str, int], owner: str) -> None:
    """Raises `InputError` unless every special token that the folder names is exactly one piece of the vocabulary.

    `numbers` are the ids of the pieces, `owner` is the file that holds them. To a token that is not a piece, transformers
    would give the next id, for which the model has no row.
    """
    stated = list(stated_specials(folder, given))
    _check_once(folder, stated)
    for text, number, where in stated:
        if text not in numbers or number not in (None, numbers[text]):
            found = f"the id {number:,}" if number is not None else "no id"
            wanted = f"its id in {owner}, {numbers[text]:,}," if text in numbers else "one of its pieces"
            raise InputError(
                f"{folder}: {where} states the special token {text!r} with {found}, but {owner} has {len(numbers):,} pieces "
                f"and {wanted} was expected. Take both files from one release."
            )


def _check_once(folder: Path, stated: Sequence[Stated]) -> None:
    """Raises `InputError` if a special token has two ids; two files may state the same one."""
    ids: dict[str, list[int]] = {}
    for text, number, _ in stated:
        if number is not None:
            ids.setdefault(text, []).append(number)
    for text, numbers in ids.items():
        if len(set(numbers)) > 1:
            raise InputError(
                f"{folder}: the special token {text!r} is stated {len(numbers)} times, with the ids {sorted(numbers)}; one id "
                "was expected. Remove the duplicate from tokenizer_config.json."
            )


def stated_specials(folder: Path, given: Mapping[str, Any]) -> Iterator[Stated]:
    """The special tokens that the folder states: in `added_tokens_decoder`, in `added_tokens.json`, by role, and in lists."""
    path, added = folder / CONFIG, folder / "added_tokens.json"
    decoder = given.get("added_tokens_decoder") or {}
    for number, token in _object(decoder, "added_tokens_decoder", path).items():
        yield content(token, path), _number(number, path), CONFIG
    for text, number in _read_object(added).items():
        yield text, _number(number, added), added.name
    for role in (*ROLES, "pad_token"):
        if given.get(role) is not None:
            yield content(given[role], path), None, CONFIG
    for key in ("additional_special_tokens", "extra_special_tokens"):  # transformers 5 writes the latter, in either form
        tokens = given.get(key) or []
        if not isinstance(tokens, list | dict):
            raise InputError(f"{path}: {key} is {tokens!r}; a list of tokens was expected. Fetch the tokenizer again.")
        for token in tokens.values() if isinstance(tokens, dict) else tokens:
            yield content(token, path), None, CONFIG


def content(token: Any, path: Path) -> str:
    """The text of a special token, which is stated as a string or an object. Raises `InputError`, which names `path`."""
    text = token.get("content") if isinstance(token, dict) else token
    if not isinstance(text, str):
        raise InputError(f"{path}: {token!r} is not a special token: its text was expected. Fetch the tokenizer again.")
    return text


def _number(number: Any, path: Path) -> int:
    """The id of a special token."""
    try:
        return int(number)
    except (TypeError, ValueError):
        raise InputError(f"{path}: {number!r} is not an id of a special token. Fetch the tokenizer again.") from None


def _object(value: Any, key: str, path: Path) -> dict[str, Any]:
    """The value. Raises `InputError` unless it is a JSON object."""
    if not isinstance(value, dict):
        raise InputError(f"{path}: {key} is not a JSON object; expected special tokens by id. Fetch the tokenizer again.")
    return value
