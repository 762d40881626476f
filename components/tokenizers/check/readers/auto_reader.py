"""Reads any other tokenizer folder (vocab.json and merges.txt, vocab.txt, …) by way of transformers."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.tokenizers.check.readers.fast_reader import fast_reader_of
from components.tokenizers.check.readers.reader import Piece, Reader, attempt, brief
from components.tokenizers.check.readers.sentencepiece_reader import read_sentencepiece

CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ufffd]")
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model")
"""The names under which other families keep a SentencePiece model, which has no meaning without the rules of their class."""
KNOWN = ("vocab.json", "merges.txt", "vocab.txt", "tokenizer_config.json", *SENTENCEPIECE)


@dataclass
class SlowReader(Reader):
    """A tokenizer that transformers implements in Python alone: it is asked text by text.

    Its normaliser is hidden in its code. As a rule such code applies NFKC, lower case, and removes control
    characters: a text that is the same after these changes counts as normalised.
    """

    tokenizer: Any = None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """As the port says."""
        how = {"add_special_tokens": False, "verbose": False}  # else it warns of texts that are longer than the model allows
        return [attempt(partial(self.tokenizer.encode, text, **how), self.refusals, []) for text in texts]

    def encode_inside(self, texts: Sequence[str]) -> list[list[int]]:
        """As at the beginning of a text: transformers has no way to ask for the inside of a sentence."""
        return self.encode(texts)

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """As the port says."""
        how = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return [attempt(partial(self.tokenizer.decode, row, **how), self.refusals, "") for row in rows]

    def normalise(self, texts: Sequence[str]) -> list[str]:
        """The usual changes: NFKC, lower case, no control characters."""
        return [CONTROL.sub("", unicodedata.normalize("NFKC", text)).lower() for text in texts]

    def exact(self) -> list[bytes]:
        """The pieces' names."""
        return [piece.name.encode() for piece in self.inventory]

    def rules(self) -> str:
        """The name of the tokenizer's class: all other rules are in its code."""
        return type(self.tokenizer).__name__


def load_auto(folder: Path) -> Any:
    """The folder's `AutoTokenizer`: no code from the folder is run, and nothing is fetched. Raises transformers' errors."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    finally:
        logging.set_verbosity(level)


def read_auto(folder: Path) -> Reader:
    """The folder's reader. Raises `InputError` with the library's own words if the library cannot read a tokenizer."""
    if not any((folder / name).exists() for name in KNOWN):
        found = sorted(path.name for path in folder.iterdir())
        raise InputError(
            f"{folder} holds no tokenizer: expected tokenizer.model, tokenizer.json, vocab.json with merges.txt, or vocab.txt; "
            f"found {', '.join(found[:5]) or 'nothing'}{f' and {len(found) - 5:,} more' if len(found) > 5 else ''}. "
            "Name another folder, or save the tokenizer with transformers first."
        )
    try:
        tokenizer = load_auto(folder)
    except Exception as error:  # noqa: BLE001  (any of a hundred classes' errors)
        if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
            return read_vocabulary_and_merges(folder)
        for name in SENTENCEPIECE:
            if (folder / name).exists():
                return read_sentencepiece(folder / name)
        raise InputError(
            f"{folder}: transformers cannot read this tokenizer ({brief(error)}). Add a tokenizer_config.json that names its "
            "tokenizer_class, or save it again with tokenizer.json."
        ) from None
    if backend := getattr(tokenizer, "backend_tokenizer", None):
        return fast_reader_of(json.loads(backend.to_str()), "AutoTokenizer")
    tokenizer.split_special_tokens = True
    return slow_reader(tokenizer)


def read_vocabulary_and_merges(folder: Path) -> Reader:
    """Reads GPT-2's layout without a configuration: byte-level BPE. Raises `InputError` if the files are not that."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    try:
        model = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    except Exception as error:  # noqa: BLE001  (the library raises plain Exception)
        raise InputError(f"{folder}: vocab.json and merges.txt do not make a BPE vocabulary ({error}).") from None
    backend = Tokenizer(model)
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return fast_reader_of(json.loads(backend.to_str()), "vocab.json + merges.txt")


def slow_reader(tokenizer: Any) -> SlowReader:
    """The reader of a Python tokenizer; the text of a single piece is not known."""
    names = {number: name for name, number in tokenizer.get_vocab().items()}
    specials = set(tokenizer.all_special_ids)
    inventory = [
        Piece(names.get(number, ""), "special" if number in specials else "text" if number in names else "unused", None)
        for number in range(max(names, default=-1) + 1)
    ]
    return SlowReader(
        file="AutoTokenizer", family=f"transformers {type(tokenizer).__name__}", inventory=inventory, complete=False,
        normaliser="not known; NFKC, case and control characters are not judged", unknown=tokenizer.unk_token_id,
        drops_white_space=is_cut_at_white_space(tokenizer), escapes_space=False, prefixes_space=False, tokenizer=tokenizer,
    )


def is_cut_at_white_space(tokenizer: Any) -> bool:
    """Whether two spaces between words give the same ids as one."""
    how, none = {"add_special_tokens": False, "verbose": False}, list[int]()
    one, two = (attempt(partial(tokenizer.encode, text, **how), [], none) for text in ("a b", "a  b"))
    return bool(one) and one == two
