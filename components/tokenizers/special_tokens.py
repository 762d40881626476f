"""Finds the special tokens that a tokenizer puts around a document, above all the BOS in front of it.

A tokenizer that names a BOS need not use it: SmolLM2 names one and puts nothing in front of a text. A document begins as a
text does if special tokens are asked for, so that training sees what the model is asked with later.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.errors import InputError, TokenizerMismatch
from components.formats.json_text import parse_json
from components.tokenizers.fingerprint import TokenizerFingerprint, compare, fingerprint_tokenizer, show
from components.tokenizers.golden_strings import GOLDEN_DOCUMENT
from components.tokenizers.load import load_tokenizer
from components.tokenizers.tokenizer import Tokenizer


def document_tokenizer(folder: Path) -> Tokenizer:
    """The folder's tokenizer; its `bos` is the BOS that it puts in front, or None. Raises as `load_tokenizer`.

    For a SentencePiece model it is the model's own BOS: `tokenizer.model` does not say whether it is put in front.
    """
    from components.tokenizers.byte_level import ByteLevelTokenizer

    tokenizer = load_tokenizer(folder)
    if isinstance(tokenizer, ByteLevelTokenizer):
        return replace(tokenizer, bos=_backend_bos(tokenizer.backend, folder / "tokenizer.json"))
    return tokenizer


def folder_tokenizer_fingerprint(folder: Path) -> TokenizerFingerprint:
    """The fingerprint of a model folder's tokenizer, on which its files must agree.

    Raises `TokenizerMismatch` if `tokenizer.model` and `tokenizer.json` are two tokenizers: the model would be trained with
    one and asked with the other. Raises `InputError` as `load_tokenizer` does.
    """
    fingerprint = fingerprint_tokenizer(document_tokenizer(folder))
    model, converted = folder / "tokenizer.model", folder / "tokenizer.json"
    if model.exists() and converted.exists():
        tokenizer = _read_converted(folder)
        compare(
            fingerprint, fingerprint_tokenizer(tokenizer), made=str(model), where=str(converted), tokenizer=tokenizer,
            remedy="Take both from one place, or delete tokenizer.json: training writes it from tokenizer.model.",
        )
    return fingerprint


def bos_in_front(plain: Sequence[int], asked: Sequence[int], where: str) -> int | None:
    """The BOS that a tokenizer puts in front, from the ids of `GOLDEN_DOCUMENT` without (`plain`) and with special tokens.

    Raises `TokenizerMismatch` unless the latter (`asked`) are at most one piece, the text, and at most one piece after it.
    """
    for before in (0, 1):
        text, behind = asked[before : before + len(plain)], asked[before + len(plain) :]
        if list(text) == list(plain) and len(behind) <= 1:
            return asked[0] if before else None
    raise TokenizerMismatch(
        f"{where}: if special tokens are asked for, {GOLDEN_DOCUMENT!r} gives {show(asked, 0)}, and without them "
        f"{show(plain, 0)}; "
        "the same ids with at most a BOS in front and an EOS at the end were expected. Correct its post_processor."
    )


def _backend_bos(backend: Any, path: Path) -> int | None:
    """`bos_in_front` of a `tokenizers.Tokenizer`."""
    plain, asked = (backend.encode(GOLDEN_DOCUMENT, add_special_tokens=special).ids for special in (False, True))
    return bos_in_front(plain, asked, str(path))


def _read_converted(folder: Path) -> Tokenizer:
    """The `tokenizer.json` that lies next to a `tokenizer.model`. Raises `InputError` if it cannot be read."""
    from components.tokenizers.byte_level import BackendTokenizer, backend_of
    from components.tokenizers.sentencepiece import read_proto

    path = folder / "tokenizer.json"
    try:
        backend = backend_of(parse_json(path.read_bytes()), path)
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}). Fetch it again, or delete it.") from None
    eos = backend.token_to_id(read_proto(folder).trainer_spec.eos_piece)
    return BackendTokenizer(backend.get_vocab_size(), _backend_bos(backend, path), eos, backend)
