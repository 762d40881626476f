"""A model folder's `tokenizer.json` in, a byte-level BPE tokenizer out, such as SmolLM2's or Llama 3's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.formats.tokenizers import Tokenizer


@dataclass(frozen=True)
class ByteLevelTokenizer(Tokenizer):
    """A byte-level BPE tokenizer: `backend` is a `tokenizers.Tokenizer`."""

    backend: Any

    def encode(self, text: str) -> list[int]:
        """As the port says."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As the port says."""
        return [encoding.ids for encoding in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """As the port says."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=True)
        return text


def read_byte_level(folder: Path) -> ByteLevelTokenizer:
    """The byte-level tokenizer of a model folder."""
    raise NotImplementedError(folder)
