"""Loads the tokenizer that evaluation uses, and checks that it is the one that the model was trained with.

Imports transformers: only `components.evaluate.engine.measure` may import this file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from components.tokenizers.fingerprint import compare, fingerprint_tokenizer, read_tokenizer_fingerprint
from components.tokenizers.golden_strings import GOLDEN_DOCUMENT
from components.tokenizers.special_tokens import bos_in_front
from components.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True)
class LoadedTokenizer(Tokenizer):
    """A tokenizer of transformers behind our port: `loaded` is what `AutoTokenizer` returned."""

    loaded: Any

    def encode(self, text: str) -> list[int]:
        """As the port says."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As the port says."""
        ids: list[list[int]] = self.loaded(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return ids

    def decode_batch(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """As the port says."""
        options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return [self.loaded.decode(list(row), **options) for row in rows]


def auto_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, from its own files alone."""
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def check_tokenizer(folder: Path) -> None:
    """Raises `TokenizerMismatch` unless the tokenizer does what it did in training, if that is known.

    BOS counts as the tokenizer's own if it stands in front of a text for which special tokens are asked for.
    """
    expected = read_tokenizer_fingerprint(folder)
    if expected is None:
        return
    loaded = auto_tokenizer(folder)
    plain, asked = (
        loaded(GOLDEN_DOCUMENT, add_special_tokens=special, split_special_tokens=True)["input_ids"] for special in (False, True)
    )
    bos = bos_in_front(plain, asked, str(folder))
    tokenizer = LoadedTokenizer(len(loaded), bos, loaded.eos_token_id, loaded)
    compare(
        expected, fingerprint_tokenizer(tokenizer), tokenizer=tokenizer,
        made=f"the training that wrote {folder}", where=f"{folder / 'tokenizer.json'}, as transformers reads it,",
        remedy="Restore its tokenizer files, or run the train stage again, which writes them.",
    )
