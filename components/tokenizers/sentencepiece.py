"""Reads a SentencePiece tokenizer from a model folder's `tokenizer.model`, and asks SentencePiece itself for ids and text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from components.errors import InputError
from components.tokenizers.tokenizer import Tokenizer

Proto: TypeAlias = Any
"""A `ModelProto` of sentencepiece, which comes without types."""

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""SentencePiece's piece types, as numbered in sentencepiece_model.proto."""

PART = 2_000
"""In characters. Anything from 1,000 to 3,000 is as fast, and shorter parts make more arrays."""

SPACE = "\u2581"
"""What SentencePiece writes for a space."""

NO_MODEL = (
    "Fetch it again; or, if it is tiktoken's file of that name, as Llama 3 has it, remove it and keep tokenizer.json."
)
"""What to do about a `tokenizer.model` of another kind."""


@dataclass(frozen=True)
class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece tokenizer: `processor` is a `sentencepiece.SentencePieceProcessor`."""

    processor: Any

    def encode(self, text: str) -> list[int]:
        """As the port says."""
        ids: list[int] = self.processor.encode(text)
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As the port says."""
        ids: list[list[int]] = self.processor.encode(list(texts), num_threads=1)
        return ids

    def encode_documents(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """As the port says. The arrays come straight from SentencePiece, without a list of numbers.

        SentencePiece takes a document for one word and needs more than linear time for it: cutting up a long one is 1.7 times
        as fast. Parts are encoded one by one: a batch would start a thread of its own.
        """
        return [self._document(cut(text) if self._may_cut else [text]) for text in texts]

    def _document(self, parts: list[str]) -> NDArray[np.int32]:
        """The ids of the document that a text's parts make up."""
        first = self.processor.encode(parts[0], add_bos=self.bos is not None, return_type="numpy")
        others = (self._inside.encode(part, return_type="numpy") for part in parts[1:])
        return np.concatenate([first, *others, self._end])

    @cached_property
    def _end(self) -> NDArray[np.int32]:
        """EOS, if there is one."""
        return np.asarray([] if self.eos is None else [self.eos], dtype=np.int32)

    @cached_property
    def _may_cut(self) -> bool:
        """Whether no piece joins a line's end with anything else: then no merge reaches across it."""
        pieces = (self.processor.id_to_piece(number) for number in range(self.pieces))
        return not any("\n" in piece and piece != "\n" for piece in pieces)

    @cached_property
    def _inside(self) -> Any:
        """The same processor without the dummy prefix, for parts that do not begin a text."""
        from sentencepiece import SentencePieceProcessor
        from sentencepiece.sentencepiece_model_pb2 import ModelProto

        proto = without_prefix(ModelProto.FromString(self.processor.serialized_model_proto()))
        return SentencePieceProcessor(model_proto=proto.SerializeToString())

    def decode_batch(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """As the port says."""
        texts: list[str] = self.processor.decode([list(row) for row in rows], num_threads=1) if rows else []
        return texts


def cut(text: str) -> list[str]:
    """The text in parts of about `PART` characters or more; all but the first begin with a line's end."""
    parts, start = [], 0
    while (end := text.find("\n", start + PART)) >= 0:
        parts.append(text[start:end])
        start = end
    return [*parts, text[start:]]


def tokenizer_of(proto: Proto) -> SentencePieceTokenizer:
    """The tokenizer that a ModelProto describes."""
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_proto=proto.SerializeToString())
    bos, eos = (number if number >= 0 else None for number in (processor.bos_id(), processor.eos_id()))
    return SentencePieceTokenizer(processor.get_piece_size(), bos, eos, processor)


def without_prefix(proto: Proto) -> Proto:
    """A copy for text inside a sentence: no space is put in front."""
    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    bare = ModelProto()
    bare.CopyFrom(proto)
    bare.normalizer_spec.add_dummy_prefix = False
    return bare


def read_proto(folder: Path) -> Proto:
    """`tokenizer.model` as a ModelProto. Raises `InputError` if it is absent, unreadable or of another family."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    path = folder / "tokenizer.model"
    if not path.exists():
        raise InputError(f"{path} does not exist. Name a model folder that holds a SentencePiece tokenizer.")
    proto = ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise InputError(f"{path} is not a SentencePiece model ({error}). {NO_MODEL}") from None
    _check_family(proto, path)
    _check_distinct(proto, path)
    return proto


def _check_family(proto: Proto, path: Path) -> None:
    """Raises `InputError` unless the model is of the family that Llama 2 and Mistral use: we convert no other."""
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    others = [piece.piece for piece in proto.pieces if piece.type in (USER_DEFINED, UNUSED)]
    demands = {
        "BPE, not unigram": trainer.model_type == trainer.BPE,
        "byte fallback": trainer.byte_fallback,
        "a BOS and an EOS piece": min(trainer.bos_id, trainer.eos_id) >= 0,
        "no normalisation (identity)": not normalizer.precompiled_charsmap,
        "spaces kept as they are": normalizer.escape_whitespaces and not normalizer.remove_extra_whitespaces,
        "spaces before words": not trainer.treat_whitespace_as_suffix,
        f"no user-defined or unused pieces (found: {len(others):,})": not others,
    }
    if missing := [name for name, met in demands.items() if not met]:
        raise InputError(
            f"{path}: a SentencePiece model as Llama 2 and Mistral have it was expected; not met: {'; '.join(missing)}. "
            "Name a base model with such a tokenizer."
        )


def _check_distinct(proto: Proto, path: Path) -> None:
    """Raises `InputError` if a piece, special or not, occurs twice: no text would ever give one of its ids."""
    texts = [piece.piece for piece in proto.pieces]
    twice, times = max(Counter(texts).items(), key=lambda item: item[1] > 1)  # the first one that occurs again
    if times > 1:
        ids = [number for number, text in enumerate(texts) if text == twice]
        raise InputError(
            f"{path}: the piece {twice!r} occurs {len(ids)} times, with the ids {ids}; once was expected. "
            "Fetch the model again."
        )
