"""What a base model's `tokenizer_config.json` says of its special tokens and its chat, kept through an enlargement.

Kept are the names of the special tokens, whether BOS and EOS frame a text, the chat template and the padding side; how
text is split is `tokenizer.json`'s to say, and the rest belongs to classes that we do not write.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.formats.sentencepieces import Proto

KEPT = (
    "add_bos_token", "add_eos_token", "pad_token", "additional_special_tokens", "extra_special_tokens", "chat_template",
    "padding_side", "truncation_side", "split_special_tokens", "clean_up_tokenization_spaces",
)
ROLES = {"bos_token": "bos_piece", "eos_token": "eos_piece", "unk_token": "unk_piece"}


def tokenizer_config(folder: Path, proto: Proto) -> dict[str, Any]:
    """The `tokenizer_config.json` to write for this model: the folder's own settings, where it has any, over the defaults.

    By default BOS stands in front, EOS does not follow, and text that spells a special token, as in "</s>", stays text;
    with a chat template it does not, for a template spells them. Raises `InputError` where a special token is no piece
    of the vocabulary, or is one twice.
    """
    given = read_given(folder)
    check_specials(folder, given, proto)
    chat = "chat_template" in given or (folder / "chat_template.jinja").exists()
    defaults = {
        "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, "split_special_tokens": not chat,
    }
    names = {role: getattr(proto.trainer_spec, field) for role, field in ROLES.items()}
    return {"tokenizer_class": "PreTrainedTokenizerFast", **names, **defaults, **{k: given[k] for k in KEPT if k in given}}


def read_given(folder: Path) -> dict[str, Any]:
    """The folder's `tokenizer_config.json`, or nothing. Raises `InputError` where it is no JSON object."""
    path = folder / "tokenizer_config.json"
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}). Fetch the tokenizer again.") from None
    if not isinstance(given, dict):
        raise InputError(f"{path} holds no JSON object. Fetch the tokenizer again.")
    return given


def check_specials(folder: Path, given: Mapping[str, Any], proto: Proto) -> None:
    """Raises `InputError` unless every special token that the folder names is exactly one piece of the vocabulary."""
    numbers = {piece.piece: number for number, piece in enumerate(proto.pieces)}
    stated = list(stated_specials(folder, given))
    twice = [text for text, times in Counter(text for text, number in stated if number is not None).items() if times > 1]
    if twice:
        ids = sorted(number for text, number in stated if text == twice[0] and number is not None)
        raise InputError(
            f"{folder}: the special token {twice[0]!r} is stated {len(ids)} times, with the ids {ids}; one id was expected. "
            "Remove the duplicate from tokenizer_config.json."
        )
    for text, number in stated:
        if text not in numbers or number not in (None, numbers[text]):
            found = f"the id {number:,}" if number is not None else "no id"
            wanted = f"its id in tokenizer.model, {numbers[text]:,}," if text in numbers else "one of its pieces"
            raise InputError(
                f"{folder}: tokenizer_config.json states the special token {text!r} with {found}, but tokenizer.model has "
                f"{len(proto.pieces):,} pieces and {wanted} was expected. Take both files from one release."
            )


def stated_specials(folder: Path, given: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    """Special tokens with their ids where the folder states them: `added_tokens_decoder`, `added_tokens.json`, by role."""
    for number, token in given.get("added_tokens_decoder", {}).items():
        yield content(token), int(number)
    added = folder / "added_tokens.json"
    if added.exists():
        yield from json.loads(added.read_text(encoding="utf-8")).items()
    for role in (*ROLES, "pad_token"):
        if given.get(role) is not None:
            yield content(given[role]), None
    for token in given.get("additional_special_tokens") or []:
        yield content(token), None


def content(token: Any) -> str:
    """The text of a special token, which is written as such or as an object."""
    return str(token["content"] if isinstance(token, dict) else token)
