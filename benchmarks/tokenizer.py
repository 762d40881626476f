"""How fast `pack` tokenises and `expand` trains a vocabulary: against SentencePiece alone, on the same text in the same run.

`make bench-tokenizer` prints one JSON line for each figure; the exit code is 1 if a goal is missed. The tokenizer is that of
Mistral-7B-v0.1. The text is the Japanese manuals of Debian, or that of `MARTLET_DATA` (see `benchmarks.texts`). If it is
shorter than 14 million characters, training repeats it up to that length, and the line says so.
"""

import io
import statistics
import tempfile
import unicodedata
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import sentencepiece

from benchmarks.texts import PACKAGES, Texts, japanese, unpacked
from benchmarks.timing import seconds
from components.data.token_shards import token_dtype
from components.data.token_writer import write_source
from components.expand.growth import Growth
from components.expand.vocabulary.candidates import find_candidates
from components.expand.vocabulary.sentencepiece import SentencePieceVocabulary
from components.pack.tokenise import DOCUMENTS_A_TASK, tokenise
from components.tokenizers.load import load_tokenizer
from infra.downloads.pypi import PyPIWheels

ROUNDS = 11
ENCODED_CHARACTERS = 4_000_000
TRAINED_CHARACTERS = 14_000_000
ENCODE_GOAL = 0.8  # of raw SentencePiece: what is left for special tokens, arrays and the files
TRAIN_GOAL_SECONDS = 120.0
TRAINED_PIECES, PIECES = 16_000, 42_800


def figures() -> Iterator[dict[str, object]]:
    """The figures of tokenising and training."""
    text, folder = japanese(), mistral_tokenizer()
    yield encode_figure(folder, text)
    yield train_figure(folder, text)


def mistral_tokenizer() -> Path:
    """A folder with Mistral-7B-v0.1's `tokenizer.model` (Apache-2.0), from the wheel that ships it."""
    folder = unpacked(PyPIWheels(PACKAGES), "mistral-common", "1.9.1")
    if not (folder / "tokenizer.model").exists():
        (folder / "mistral_common/data/tokenizer.model.v1").rename(folder / "tokenizer.model")
    return folder


def encode_figure(folder: Path, text: Texts) -> dict[str, object]:
    """Characters per second of `pack`'s path, from documents to token shards in one process, against `encode` alone."""
    tokenizer = load_tokenizer(folder)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    documents = shortened(text.train, ENCODED_CHARACTERS)
    named = [(f"{number:016x}", document) for number, document in enumerate(documents)]

    def ours() -> None:
        with tempfile.TemporaryDirectory() as shard:
            tasks = (named[place : place + DOCUMENTS_A_TASK] for place in range(0, len(named), DOCUMENTS_A_TASK))
            tokens = (document for task in tasks for document in tokenise(tokenizer, task))
            write_source(Path(shard), "0-ja", token_dtype(tokenizer.pieces), tokens)

    def theirs() -> None:
        processor.encode(documents, num_threads=1, return_type="numpy")

    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    characters = sum(map(len, documents))
    mine, peer = (characters / statistics.median(column) / 1e6 for column in zip(*pairs, strict=True))
    ratio = statistics.median(raw / own for own, raw in pairs)
    return {
        "bench": "tokenizer-encode", "ours": round(mine, 3), "peer": round(peer, 3),
        "peer_name": "sentencepiece encode into numpy", "unit": "million characters/s", "ratio": round(ratio, 3),
        "goal": f">= {ENCODE_GOAL}", "pass": ratio >= ENCODE_GOAL,
        "text": text.source, "characters": characters,
    }


def train_figure(folder: Path, text: Texts) -> dict[str, object]:
    """Seconds from text to the chosen 10,800 pieces, against SentencePiece's trainer on the same text line by line."""
    documents = repeated(text.train, TRAINED_CHARACTERS)
    growth = Growth.model_validate({
        "pieces": PIECES, "multiple_of": 8, "padding_rows": 0, "base_padding_rows": 0,
        "text": [{"text": "ja/*", "weight": 1.0}], "maximum_characters": TRAINED_CHARACTERS, "segmentation": None,
        "trained_pieces": TRAINED_PIECES, "character_coverage": 0.9997,
        "characters": {"hiragana": 83, "katakana": 87, "kanji": None}, "initialise": {"kind": "mean_of_subpieces"}, "seed": 1,
    })
    vocabulary = SentencePieceVocabulary.of(folder)

    def ours() -> None:
        texts = [unicodedata.normalize("NFKC", document) for document in documents]
        candidates = find_candidates(growth, texts, vocabulary.characters())
        vocabulary.choose(candidates, PIECES - vocabulary.pieces)

    def theirs() -> None:
        lines = (line for document in documents for line in document.split("\n"))
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines, model_writer=io.BytesIO(), model_type="bpe", vocab_size=TRAINED_PIECES,
            character_coverage=0.9997, byte_fallback=True, normalization_rule_name="nfkc", num_threads=1, minloglevel=2,
        )

    mine, peer = seconds(ours), seconds(theirs)
    return {
        "bench": "tokenizer-train", "ours": round(mine, 1), "peer": round(peer, 1), "peer_name": "sentencepiece trainer",
        "unit": "s", "ratio": round(mine / peer, 3), "goal": f"<= {TRAIN_GOAL_SECONDS} s", "pass": mine <= TRAIN_GOAL_SECONDS,
        "text": text.source, "characters": sum(map(len, documents)), "distinct_characters": text.characters,
    }


def shortened(documents: list[str], characters: int) -> list[str]:
    """The first documents, until they have that many characters."""
    taken: list[str] = []
    for document in documents:
        if sum(map(len, taken)) >= characters:
            break
        taken.append(document)
    return taken


def repeated(documents: list[str], characters: int) -> list[str]:
    """The documents, repeated up to exactly that many characters."""
    taken, room = [], characters
    for document in cycle(documents):
        taken.append(document[:room])
        room -= len(taken[-1])
        if not room:
            return taken
    raise AssertionError("there is no text")
