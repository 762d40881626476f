"""Reads a `tokenizer.model` of any kind: BPE, unigram, word or char, with or without a normaliser."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.tokenizers.check.readers.reader import Kind, Piece, Reader
from components.tokenizers.sentencepiece import BYTE, CONTROL, NO_MODEL, SPACE, UNKNOWN, UNUSED, without_prefix

KINDS: dict[int, Kind] = {UNKNOWN: "special", CONTROL: "special", UNUSED: "unused", BYTE: "byte"}
MODELS = {1: "unigram", 2: "BPE", 3: "word", 4: "char"}


@dataclass
class SentencePieceReader(Reader):
    """A SentencePiece tokenizer; `bare` is the same model without dummy prefix and trimming."""

    proto: Any = None
    processor: Any = None
    bare: Any = None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """As the port says."""
        ids: list[list[int]] = self.processor.encode(list(texts), num_threads=2)
        return ids

    def encode_inside(self, texts: Sequence[str]) -> list[list[int]]:
        """As the port says."""
        ids: list[list[int]] = self.bare.encode(list(texts), num_threads=2)
        return ids

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """As the port says."""
        texts: list[str] = self.processor.decode([list(row) for row in rows]) if rows else []
        return texts

    def normalise(self, texts: Sequence[str]) -> list[str]:
        """As the port says."""
        changed = [self.processor.normalize(text).replace(SPACE, " ") for text in texts]
        if not self.proto.normalizer_spec.add_dummy_prefix:
            return changed
        suffix = self.proto.trainer_spec.treat_whitespace_as_suffix
        return [text.removesuffix(" ") if suffix else text.removeprefix(" ") for text in changed]

    def exact(self) -> list[bytes]:
        """Piece, score and type as they stand in the ModelProto."""
        return [piece.SerializeToString(deterministic=True) for piece in self.proto.pieces]

    def rules(self) -> str:
        """The normaliser and the trainer's settings that the reader obeys."""
        trainer = self.proto.trainer_spec
        spec = [self.proto.normalizer_spec.SerializeToString(deterministic=True).hex(), trainer.model_type]
        return repr([*spec, trainer.byte_fallback, trainer.treat_whitespace_as_suffix])


def read_sentencepiece(path: Path) -> SentencePieceReader:
    """The reader of a tokenizer.model. Raises `InputError` if the file is not a SentencePiece model."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    proto = ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
        return reader_of(proto, path.name)
    except (DecodeError, RuntimeError, OSError) as error:
        raise InputError(f"{path} is not a SentencePiece model ({error}). {NO_MODEL}") from None


def reader_of(proto: Any, name: str = "tokenizer.model") -> SentencePieceReader:
    """The reader of a ModelProto. Raises RuntimeError if SentencePiece refuses it."""
    trainer = proto.trainer_spec
    return SentencePieceReader(
        file=name, family=f"SentencePiece {MODELS.get(trainer.model_type, '?')}", normaliser=words(proto),
        inventory=[piece_of(piece) for piece in proto.pieces], complete=trainer.byte_fallback, unknown=trainer.unk_id,
        drops_white_space=False, escapes_space=True, prefixes_space=proto.normalizer_spec.add_dummy_prefix, proto=proto,
        processor=processor_of(proto), bare=processor_of(bared(proto)),
    )


def base_of(reader: SentencePieceReader, pieces: int) -> SentencePieceReader:
    """The base that was enlarged: the tokenizer of the first `pieces` pieces alone."""
    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    proto = ModelProto()
    proto.CopyFrom(reader.proto)
    del proto.pieces[pieces:]
    proto.trainer_spec.vocab_size = pieces
    return reader_of(proto)


def piece_of(piece: Any) -> Piece:
    """One piece of the ModelProto."""
    kind = KINDS.get(piece.type, "text")
    return Piece(piece.piece, kind, piece.piece.replace(SPACE, " ") if kind == "text" else None)


def processor_of(proto: Any) -> Any:
    """The SentencePieceProcessor of a ModelProto."""
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_proto=proto.SerializeToString())


def bared(proto: Any) -> Any:
    """A copy for text inside a sentence: no dummy prefix, no trimming."""
    bare = without_prefix(proto)
    bare.normalizer_spec.remove_extra_whitespaces = False
    return bare


def words(proto: Any) -> str:
    """Describes the normaliser."""
    spec = proto.normalizer_spec
    parts = [spec.name or "no name", "changes characters" if spec.precompiled_charsmap else "changes no character"]
    parts.append("a space is put in front" if spec.add_dummy_prefix else "nothing is put in front")
    parts.append("runs of spaces become one" if spec.remove_extra_whitespaces else "spaces are kept")
    return "; ".join(parts)
