"""The expander's fields, a base model and clean text in, the enlarged model and `expansion.json` out."""

from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from components.base import Journal
from components.errors import EmptyCorpus, ParameterError
from components.expand.contract import ExpandReport
from components.expand.corpus import runs_of, training_texts
from components.expand.fertility import tokens_per_character
from components.expand.sentencepiece import SentencePieceExpander
from components.expand.vocabulary import append_pieces, choose_pieces, distinct_characters, train_pieces, without_prefix
from components.expand.weights import check_matrices, enlarge
from components.formats.fast_tokenizers import write_fast_tokenizer
from components.formats.files import write_json
from components.formats.models import check_rows, copy_tokenizer, read_config
from components.formats.sentencepieces import Proto, read_proto, tokenizer_of
from components.formats.tokenizers import load_tokenizer


def expand(fields: SentencePieceExpander, journal: Journal, model: Path, text: Path, output: Path) -> ExpandReport:
    """Writes the enlarged model folder; every refusal that needs no training comes before the training."""
    base = read_proto(model)
    room = _room(fields, model, len(base.pieces))
    check_matrices(model, len(base.pieces))
    added = _new_pieces(fields, journal, text, base, room)
    merged = append_pieces(base, added)
    bare = tokenizer_of(without_prefix(base))
    subpieces = [bare.encode(piece) for piece in added]
    journal.say(f"starting {room:,} rows as the mean of their {sum(map(len, subpieces)):,} subpieces")
    enlarge(model, output, subpieces)
    _write_tokenizer(model, output, merged)
    before, after = (tokens_per_character(load_tokenizer(folder), text) for folder in (model, output))
    report = ExpandReport(
        base_pieces=len(base.pieces), added_pieces=room, pieces=fields.pieces,
        tokens_per_character_before=before, tokens_per_character_after=after,
    )
    _write_expansion(output, report, base, merged, added)
    return report


def _room(fields: SentencePieceExpander, model: Path, present: int) -> int:
    """How many pieces to add. Raises `ParameterError` where there is nothing to add."""
    if fields.pieces <= present:
        raise ParameterError(
            f"expand.pieces is {fields.pieces:,}, but the tokenizer of {model} has {present:,} pieces already. "
            f"Raise expand.pieces above that, or take `kind: keep`."
        )
    return fields.pieces - present


def _new_pieces(fields: SentencePieceExpander, journal: Journal, text: Path, base: Proto, room: int) -> list[str]:
    """Exactly `room` new pieces, in the trainer's order. Raises `EmptyCorpus` where the text does not give so many."""
    texts = training_texts(text, fields.text, fields.maximum_characters, fields.seed)
    characters = sum(map(len, texts))
    if not any(runs_of(texts)):
        raise EmptyCorpus(f"{text}: the documents of {fields.text!r} hold no text but ASCII. Name Japanese text.")
    journal.say(f"training {fields.trained_pieces:,} pieces on {characters:,} characters")
    trained = train_pieces(runs_of(texts), fields.trained_pieces, fields.character_coverage)
    added = choose_pieces(trained, base, room)
    if len(added) < room:
        raise EmptyCorpus(
            f"{text}: {characters:,} characters of {fields.text!r} gave {len(trained):,} pieces, {len(added):,} of them "
            f"new to the base model; {room:,} are needed for expand.pieces = {fields.pieces:,}. Raise "
            f"expand.trained_pieces (now {fields.trained_pieces:,}) or add text."
        )
    return added


def _write_tokenizer(model: Path, output: Path, merged: Proto) -> None:
    """The merged `tokenizer.model` and all that derives from it, checked against the rows that were written."""
    copy_tokenizer(model, output)
    (output / "tokenizer.model").write_bytes(merged.SerializeToString(deterministic=True))
    write_fast_tokenizer(output, read_config(output)["max_position_embeddings"])
    check_rows(output, len(merged.pieces))


def _write_expansion(
    output: Path, report: ExpandReport, base: Proto, merged: Proto, added: Sequence[str]
) -> None:
    """`expansion.json`: the report, what wrote it, and the added pieces in the order of their ids."""
    write_json(output / "expansion.json", report.model_dump() | {
        "sentencepiece": sentencepiece.__version__,
        "normalizer": merged.normalizer_spec.name,
        "distinct_characters_before": distinct_characters(base),
        "distinct_characters_after": distinct_characters(merged),
        "added": list(added),
    })
