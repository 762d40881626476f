"""Finds in sampled text the pieces that a larger vocabulary wants: characters first, then merges by rank."""

import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from components.errors import EmptyCorpus, InputError, ParameterError
from components.expand.growth import Growth
from components.expand.vocabulary.corpus import WORD_BORDER, training_lines
from components.tokenizers.japanese_scripts import JAPANESE, block_of, count_characters
from components.tokenizers.sentencepiece import NORMAL, SPACE

ASCII_OR_SPACE = re.compile(f"[\\x00-\\x7f{SPACE}]")

ALPHABETS = {
    "hiragana": [chr(code) for code in range(0x3041, 0x3094)],
    "katakana": [*map(chr, range(0x30A1, 0x30F7)), "・", "ー"],
}
"""ぁ to ん, and ァ to ヶ with the middle dot and the long vowel. Iteration marks and ligatures are not letters."""


@dataclass(frozen=True)
class Candidates:
    """Pieces that the base may or may not have; each holds a Japanese character, and neither ASCII nor a space."""

    characters: tuple[str, ...]
    """Single characters, the most wanted first."""
    merges: tuple[str, ...]
    """Longer pieces, the best rank first."""


def find_candidates(growth: Growth, texts: Sequence[str], present: Set[str]) -> Candidates:
    """The pieces to choose from; `present` are the characters that the base has.

    Raises `ParameterError` if a target is below what the base has, `EmptyCorpus` if the text has too few kanji.
    """
    targets = growth.characters.model_dump()
    trained = train_pieces(training_lines(texts, growth.segmentation), growth.trained_pieces, growth.character_coverage)
    wanted = guaranteed_characters(targets, Counter("".join(texts)), present)
    bound = {name for name, target in targets.items() if target is not None}
    rest = [char for char in trained if len(char) == 1 and JAPANESE.match(char) and block_of(char) not in bound]
    merges = [piece for piece in trained if len(piece) > 1 and JAPANESE.search(piece) and not ASCII_OR_SPACE.search(piece)]
    return Candidates(tuple(dict.fromkeys([*wanted, *rest])), tuple(merges))


def guaranteed_characters(targets: dict[str, int | None], frequencies: Counter[str], present: Set[str]) -> list[str]:
    """For each block with a target, the most frequent characters that the base lacks; ties by code point."""
    counts, chosen = count_characters(present), []
    for name, target in targets.items():
        if target is None:
            continue
        if target < counts[name]:
            raise ParameterError(
                f"expand.characters.{name} is {target:,}, but the base model knows {counts[name]:,} already. "
                f"Raise it to {counts[name]:,} or more, or set it to null."
            )
        alphabet = ALPHABETS.get(name) or [char for char in frequencies if block_of(char) == name]
        missing = sorted(set(alphabet) - present, key=lambda char: (-frequencies[char], char))
        if len(missing) < target - counts[name]:
            raise EmptyCorpus(
                f"expand.characters.{name} asks for {target:,}; the base model has {counts[name]:,} and the text "
                f"{len(missing):,} more. Lower it to {counts[name] + len(missing):,}, or add text."
            )
        chosen += missing[: target - counts[name]]
    return chosen


def train_pieces(lines: Iterable[str], trained_pieces: int, character_coverage: float) -> list[str]:
    """The pieces of a BPE vocabulary trained on the lines, in the trainer's order: merges by rank, then characters.

    One thread and no shuffling: the same lines give the same pieces. Raises `InputError` with the trainer's own words.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=trained_pieces,
            character_coverage=character_coverage, byte_fallback=True, normalization_rule_name="identity",
            add_dummy_prefix=False, remove_extra_whitespaces=False, hard_vocab_limit=False, num_threads=1,
            shuffle_input_sentence=False, pretokenization_delimiter=WORD_BORDER, minloglevel=2,
        )
    except RuntimeError as error:
        words = str(error).rstrip(".")
        raise InputError(
            f"SentencePiece cannot train {trained_pieces:,} pieces on this text: {words}. Change expand.trained_pieces."
        ) from None
    proto = ModelProto.FromString(model.getvalue())
    return [piece.piece for piece in proto.pieces if piece.type == NORMAL]
