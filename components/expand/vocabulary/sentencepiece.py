"""Enlarges a SentencePiece vocabulary by candidates.

A SentencePiece BPE model joins the neighbours whose union has the best score, the leftmost first. New pieces score below
every base piece, so they leave every text alone in which they do not occur. That is the whole proof that English stays as
it was, because a new piece holds a Japanese character, and neither ASCII nor a space.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence, Set
from functools import cached_property
from pathlib import Path
from typing import Any

from sentencepiece.sentencepiece_model_pb2 import ModelProto

from components.errors import InputError
from components.expand.vocabulary.candidates import Candidates
from components.models.folder import copy_tokenizer, maximum_positions
from components.tokenizers.configuration import check_proto_specials, read_given
from components.tokenizers.conversion import write_fast_tokenizer
from components.tokenizers.sentencepiece import (
    BYTE,
    NORMAL,
    Proto,
    SentencePieceTokenizer,
    read_proto,
    tokenizer_of,
    without_prefix,
)

SPACE_RUN_SCORE = -1e8
"""Mistral's runs of spaces score -1e9: below this no float32 tells two neighbours apart, so nothing is appended there."""
EXACT_INTEGERS = 2**24
"""Up to here float32 holds every integer, so that scores one apart stay apart."""


class SentencePieceVocabulary:
    """The vocabulary of a model folder's `tokenizer.model`."""

    def __init__(self, base: Proto) -> None:
        self.base = base
        self.pieces = len(base.pieces)

    @classmethod
    def of(cls, model: Path) -> "SentencePieceVocabulary":
        """Raises `InputError` if the folder has no SentencePiece model of a family we know, or special tokens beyond it."""
        base = read_proto(model)
        check_proto_specials(model, read_given(model), base)
        return cls(base)

    def characters(self) -> Set[str]:
        """As the protocol says; byte pieces are spelt in ASCII, and are not counted."""
        return {character for piece in self.base.pieces if piece.type != BYTE for character in piece.piece}

    def choose(self, candidates: Candidates, room: int) -> list[str]:
        """First all characters, then merges by rank, until `room` is full; merges take the lower ids.

        Every character of a chosen piece has a piece of its own, and every chosen piece is what its own text splits
        into: a merge that the base's merges would always forestall is left out, as a row that no text could reach.
        """
        known = {piece.piece for piece in self.base.pieces}
        characters = [piece for piece in candidates.characters if piece not in known][:room]
        scores = normal_scores(self.base) | dict.fromkeys(characters, 0.0)
        merges: list[str] = []
        score = lowest_score(self.base)
        for piece in candidates.merges:
            if len(characters) + len(merges) == room:
                break
            if piece not in known and scores.keys() >= set(piece):
                score -= 1.0
                scores[piece] = score
                if split(piece, scores) == [piece]:
                    merges.append(piece)
                else:
                    del scores[piece]
        return [*merges, *characters]

    def subpieces(self, added: Sequence[str]) -> list[list[int]]:
        """As the protocol says: no space is put in front."""
        return self._bare.encode_batch(added)

    def text_of(self, piece: str) -> str | None:
        """The piece itself."""
        return piece

    def write(self, model: Path, output: Path, added: Sequence[str]) -> None:
        """`tokenizer.model` and all that derives from it."""
        copy_tokenizer(model, output)
        merged = append_pieces(self.base, added)
        (output / "tokenizer.model").write_bytes(merged.SerializeToString(deterministic=True))
        write_fast_tokenizer(output, maximum_positions(model))

    def facts(self, added: Sequence[str]) -> dict[str, Any]:
        """The normaliser, which is the base's, and the scores of the new pieces."""
        normalizer, lowest = self.base.normalizer_spec, lowest_score(self.base)
        return {
            "normalizer": {
                "name": normalizer.name, "add_dummy_prefix": normalizer.add_dummy_prefix,
                "remove_extra_whitespaces": normalizer.remove_extra_whitespaces,
                "escape_whitespaces": normalizer.escape_whitespaces,
                "charsmap_sha256": hashlib.sha256(normalizer.precompiled_charsmap).hexdigest(),
            },
            "scores": {"first": lowest - 1, "last": lowest - len(added), "step": -1, "dtype": "float32"},
        }

    @cached_property
    def _bare(self) -> SentencePieceTokenizer:
        return tokenizer_of(without_prefix(self.base))


def split(text: str, scores: Mapping[str, float]) -> list[str]:
    """The text as BPE splits it, without a dummy prefix; characters without a piece stand for themselves."""
    symbols = list(text)
    while True:
        joins = [
            (-scores[union], place)
            for place in range(len(symbols) - 1)
            if (union := symbols[place] + symbols[place + 1]) in scores
        ]
        if not joins:
            return symbols
        _, place = min(joins)
        symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]


def append_pieces(base: Proto, pieces: Sequence[str]) -> Proto:
    """The base's ModelProto with the pieces appended, each scored one below the piece before.

    All that the base states (ids, scores, types, normaliser) stays. Raises `InputError` if float32 runs out.
    """
    lowest = lowest_score(base)
    if lowest - len(pieces) <= -EXACT_INTEGERS:
        raise InputError(
            f"The base tokenizer's lowest score is {lowest:,.0f}; {len(pieces):,} more below it are not exact in "
            f"float32, which counts to {EXACT_INTEGERS:,}. Name a base model whose scores are ranks."
        )
    merged = ModelProto()
    merged.CopyFrom(base)
    for rank, piece in enumerate(pieces, 1):
        merged.pieces.add(piece=piece, score=lowest - rank, type=NORMAL)
    merged.trainer_spec.vocab_size = len(merged.pieces)
    return merged


def normal_scores(proto: Proto) -> dict[str, float]:
    """The scores of the pieces that text is joined to."""
    return {piece.piece: piece.score for piece in proto.pieces if piece.type == NORMAL}


def lowest_score(proto: Proto) -> float:
    """The lowest score of a piece that is not a run of spaces, rounded down to an integer."""
    return float(math.floor(min(score for score in normal_scores(proto).values() if score > SPACE_RUN_SCORE)))
