"""Runs of text and a base vocabulary in, the enlarged vocabulary out.

A SentencePiece BPE model joins the neighbours whose union has the best score, the leftmost first. New pieces that score
below every base piece therefore leave each text alone in which they do not occur, and that is the whole proof that
English stays as it was: a new piece holds a Japanese character, and neither ASCII nor a space.
"""

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from components.errors import InputError
from components.formats.sentencepieces import BYTE, NORMAL, SPACE, Proto

JAPANESE = re.compile(
    "[\u3001-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
"""Punctuation, kana, kanji and width forms of CJK."""
ASCII_OR_SPACE = re.compile(f"[\\x00-\\x7f{SPACE}]")

SPACE_RUN_SCORE = -1e8
"""Mistral's runs of spaces score -1e9: below this no float32 tells two neighbours apart, so nothing is appended there."""
EXACT_INTEGERS = 2**24
"""Up to here float32 holds every integer, so that scores one apart stay apart."""


def train_pieces(runs: Iterable[str], trained_pieces: int, character_coverage: float) -> list[str]:
    """The pieces of a BPE vocabulary trained on the runs, in the trainer's order: merges by rank, then characters.

    One thread and no shuffling: the same runs give the same pieces. Raises `InputError` with the trainer's own words.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(runs), model_writer=model, model_type="bpe", vocab_size=trained_pieces,
            character_coverage=character_coverage, byte_fallback=True, normalization_rule_name="identity",
            add_dummy_prefix=False, remove_extra_whitespaces=False, hard_vocab_limit=False, num_threads=1,
            shuffle_input_sentence=False, minloglevel=2,
        )
    except RuntimeError as error:
        words = str(error).rstrip(".")
        raise InputError(
            f"SentencePiece cannot train {trained_pieces:,} pieces on this text: {words}. Change expand.trained_pieces."
        ) from None
    proto = ModelProto.FromString(model.getvalue())
    return [piece.piece for piece in proto.pieces if piece.type == NORMAL]


def choose_pieces(trained: Sequence[str], base: Proto, room: int) -> list[str]:
    """At most `room` pieces that the base lacks, in the order of `trained`: first all characters, then merges by rank.

    Every character of a chosen piece has a piece of its own, and every chosen piece is what its own text splits into:
    a merge that the base's merges would always forestall is left out, as a row that no text could reach.
    """
    known = {piece.piece for piece in base.pieces}
    candidates = [
        piece for piece in trained
        if piece not in known and JAPANESE.search(piece) and not ASCII_OR_SPACE.search(piece)
    ]
    chosen = [piece for piece in candidates if len(piece) == 1][:room]
    scores = normal_scores(base) | dict.fromkeys(chosen, 0.0)
    score = lowest_score(base)
    for piece in candidates:
        if len(chosen) == room:
            break
        if len(piece) > 1 and scores.keys() >= set(piece):
            score -= 1.0
            scores[piece] = score
            if split(piece, scores) == [piece]:
                chosen.append(piece)
            else:
                del scores[piece]
    wanted = set(chosen)
    return [piece for piece in candidates if piece in wanted]


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

    All that the base states (ids, scores, types, normaliser) stays. Raises `InputError` where float32 runs out.
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


def without_prefix(proto: Proto) -> Proto:
    """The same vocabulary for text inside a sentence: no space is put in front."""
    bare = ModelProto()
    bare.CopyFrom(proto)
    bare.normalizer_spec.add_dummy_prefix = False
    return bare


def normal_scores(proto: Proto) -> dict[str, float]:
    """The scores of the pieces that text is joined to."""
    return {piece.piece: piece.score for piece in proto.pieces if piece.type == NORMAL}


def lowest_score(proto: Proto) -> float:
    """The lowest score of a piece that is no run of spaces, rounded down to an integer."""
    return float(math.floor(min(score for score in normal_scores(proto).values() if score > SPACE_RUN_SCORE)))


def distinct_characters(proto: Proto) -> dict[str, int]:
    """How many hiragana, katakana and kanji occur in the vocabulary (58, 76 and 1,456 in Mistral-7B-v0.1's)."""
    present = {character for piece in proto.pieces if piece.type != BYTE for character in piece.piece}
    blocks = {"hiragana": "\u3040-\u309f", "katakana": "\u30a0-\u30ff", "kanji": "\u4e00-\u9fff"}
    return {name: sum(bool(re.match(f"[{block}]", char)) for char in present) for name, block in blocks.items()}
