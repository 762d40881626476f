"""Trains a tiny base tokenizer in the manner of Mistral's, on sentences that were written for these tests."""

import io
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from components.tokenizers.sentencepiece import NORMAL, SPACE

ENGLISH = (
    "The swallow comes back to the same barn every spring, and the barn is never the same barn twice.",
    "A model that has read the river once still has to read the bridge, the boats and the rain upon it.",
    "When the tests are green the builders go home; when they are red, somebody reads the message again.",
    "She counted 37 boats before noon and 52 after it, and wrote both numbers in the margin of the book.",
    "for place in range(len(boats)):\n    if boats[place] == river:\n        return place",
)
JAPANESE = (
    "つばめは毎年の春に同じ納屋へ帰ってくるが、納屋のほうは一度も同じであったことがない。",
    "川を一度読んだだけの者は、橋と舟と、その上に降る雨をまだ読んでいない。",
    "試験がすべて通れば職人は家に帰り、通らなければ誰かがもう一度その知らせを読み直す。",
    "正午までに三十七艘の舟を数え、そのあとで五十二艘を数えて、帳面の余白に書き留めた。",
)
SPACES = -1e9
"""The score of Mistral's runs of spaces."""


def train_proto(sentences: tuple[str, ...], pieces: int, **options: Any) -> Any:
    """A ModelProto with the settings of Mistral-7B-v0.1's trainer."""
    model = io.BytesIO()
    settings: dict[str, Any] = {
        "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "split_digits": True,
        "remove_extra_whitespaces": False, "add_dummy_prefix": True, "num_threads": 1, "hard_vocab_limit": False,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for sentence in sentences for line in sentence.split("\n")), model_writer=model,
        vocab_size=pieces, minloglevel=2, **(settings | options),
    )
    return ModelProto.FromString(model.getvalue())


def tiny_proto() -> Any:
    """Mostly English, a few Japanese characters, and runs of 2 to 16 spaces with Mistral's score."""
    proto = train_proto((*ENGLISH, JAPANESE[0]), 480)
    for length in range(2, 17):
        proto.pieces.add(piece=SPACE * length, score=SPACES, type=NORMAL)
    next(piece for piece in proto.pieces if piece.piece == SPACE).score = SPACES
    return proto


def write_tokenizer(folder: Path, proto: Any) -> Path:
    """Writes `tokenizer.model`; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(proto.SerializeToString())
    return folder
