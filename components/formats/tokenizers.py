"""A model folder's `tokenizer.model` in, SentencePiece's own answers and a `tokenizer.json` that agrees with them out.

SentencePiece is the one owner of the vocabulary; the other tokenizer files are derived from it and never edited. The
conversion is our own because that of transformers 5.23 loses an indent's space on Mistral's tokenizer. Two things make
it exact: every way in which two pieces join to a third is a merge, and merges of equal score stand with the longest
left side first, so that a run of spaces grows from the left as SentencePiece grows it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.formats.files import write_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""SentencePiece's piece types, as numbered in sentencepiece_model.proto."""

SPACE = "\u2581"
"""What SentencePiece writes for a space."""


@dataclass(frozen=True)
class Tokenizer:
    """A SentencePiece tokenizer: `processor` is a `sentencepiece.SentencePieceProcessor`."""

    processor: Any
    pieces: int
    bos: int
    eos: int

    def encode(self, text: str) -> list[int]:
        """The text's ids, with the dummy prefix that the model asks for and without BOS or EOS."""
        ids: list[int] = self.processor.encode(text)
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of the ids; control pieces say nothing."""
        text: str = self.processor.decode(ids)
        return text


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder. Raises `InputError` where `tokenizer.model` is absent or unreadable."""
    return tokenizer_of(read_proto(folder))


def tokenizer_of(proto: Any) -> Tokenizer:  # noqa: ANN401  (a protobuf message, untyped)
    """The tokenizer that a ModelProto describes."""
    from sentencepiece import SentencePieceProcessor  # noqa: PLC0415

    processor = SentencePieceProcessor(model_proto=proto.SerializeToString())
    return Tokenizer(processor, processor.get_piece_size(), processor.bos_id(), processor.eos_id())


def read_proto(folder: Path) -> Any:  # noqa: ANN401  (a protobuf message, untyped)
    """`tokenizer.model` as a ModelProto. Raises `InputError` where it is absent, unreadable or of another family."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from sentencepiece.sentencepiece_model_pb2 import ModelProto  # noqa: PLC0415

    path = folder / "tokenizer.model"
    if not path.exists():
        raise InputError(f"{path} does not exist. Name a model folder that holds a SentencePiece tokenizer.")
    proto = ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise InputError(f"{path} is no SentencePiece model ({error}). Fetch it again.") from None
    _check_family(proto, path)
    return proto


def write_fast_tokenizer(folder: Path, maximum_length: int) -> None:
    """Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` beside `tokenizer.model`.

    `AutoTokenizer.from_pretrained(folder)` then answers as SentencePiece does, with BOS in front where special tokens
    are asked for. Text that spells a special token, as in "</s>", stays text. Raises `InputError` as `read_proto` does,
    and where the two disagree on any single piece.
    """
    proto = read_proto(folder)
    fast = build_fast_tokenizer(proto)
    _check_agreement(fast, tokenizer_of(proto), folder)
    fast.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "bos_piece", "eos_token": "eos_piece", "unk_token": "unk_piece"}
    names = {key: getattr(proto.trainer_spec, field) for key, field in special.items()}
    write_json(folder / "special_tokens_map.json", names)
    # PreTrainedTokenizerFast takes tokenizer.json as it is; LlamaTokenizer would rebuild it by the rules of its own
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", **names, "add_bos_token": True, "add_eos_token": False,
        "clean_up_tokenization_spaces": False, "model_max_length": maximum_length, "split_special_tokens": True,
    })


def build_fast_tokenizer(proto: Any) -> Any:  # noqa: ANN401  (a protobuf message in, a tokenizers.Tokenizer out)
    """A `tokenizers.Tokenizer` that splits every text as the ModelProto does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors  # noqa: PLC0415

    specification, prefix = proto.trainer_spec, proto.normalizer_spec.add_dummy_prefix
    vocabulary = {piece.piece: number for number, piece in enumerate(proto.pieces)}
    fast = Tokenizer(models.BPE(
        vocabulary, merges(proto), unk_token=specification.unk_piece, fuse_unk=True, byte_fallback=True
    ))
    replace, strip = normalizers.Replace(" ", SPACE), decoders.Strip(" ", 1, 0)
    fast.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace] if prefix else [replace])
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    fast.decoder = decoders.Sequence([*steps, strip] if prefix else steps)
    bos = specification.bos_piece
    fast.post_processor = processors.TemplateProcessing(
        single=f"{bos}:0 $A:0", pair=f"{bos}:0 $A:0 {bos}:1 $B:1", special_tokens=[(bos, specification.bos_id)]
    )
    specials = [piece.piece for piece in proto.pieces if piece.type in (UNKNOWN, CONTROL)]
    fast.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in specials])
    return fast


def merges(proto: Any) -> list[tuple[str, str]]:  # noqa: ANN401  (a protobuf message, untyped)
    """Every pair of pieces that join to a piece, best score first; among equals the longest left side first."""
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == NORMAL}
    found = [
        (-score, -cut, piece[:cut], piece[cut:])
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    return [(left, right) for _, _, left, right in sorted(found)]


def _check_family(proto: Any, path: Path) -> None:  # noqa: ANN401  (a protobuf message, untyped)
    """Raises `InputError` unless the model is of the family that Llama 2 and Mistral use, which is all we convert."""
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    demands = {
        "BPE, not unigram": trainer.model_type == trainer.BPE,
        "byte fallback": trainer.byte_fallback,
        "a BOS and an EOS piece": min(trainer.bos_id, trainer.eos_id) >= 0,
        "no normalisation (identity)": not normalizer.precompiled_charsmap,
        "spaces kept as they are": normalizer.escape_whitespaces and not normalizer.remove_extra_whitespaces,
        "spaces before words": not trainer.treat_whitespace_as_suffix,
        "no user-defined pieces": all(piece.type not in (USER_DEFINED, UNUSED) for piece in proto.pieces),
    }
    if missing := [name for name, met in demands.items() if not met]:
        raise InputError(
            f"{path}: a SentencePiece model as Llama 2 and Mistral have it was expected; it lacks: {', '.join(missing)}. "
            "Name a base model with such a tokenizer."
        )


def _check_agreement(fast: Any, slow: Tokenizer, folder: Path) -> None:  # noqa: ANN401  (tokenizers.Tokenizer)
    """Raises `InputError` where a piece's text splits differently in the two: a vocabulary with tied scores does that."""
    texts = [slow.processor.id_to_piece(number).replace(SPACE, " ") for number in range(slow.pieces)]
    fast.encode_special_tokens = True
    ours = fast.encode_batch(texts, add_special_tokens=False)
    theirs = slow.processor.encode(texts)
    different = [text for text, our, their in zip(texts, ours, theirs, strict=True) if our.ids != their]
    if different:
        raise InputError(
            f"{folder / 'tokenizer.model'}: {len(different):,} of {len(texts):,} pieces cannot be expressed in "
            f"tokenizer.json, the first is {different[0]!r}. Its scores are tied; name another base tokenizer."
        )
