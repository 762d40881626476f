"""Bits per byte: every token is scored once, as a hand computation says, whatever the tokenizer, window or batch."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.data.documents import Document, first_texts
from components.evaluate.engine.bits_per_byte import Ruler, make_windows
from components.evaluate.texts import count_bytes
from tests.support.builders.tiny_models import build_model, fast_tokenizer

TEXT = "安定版の前にはテスト版がある。A release is ready when it is ready."


def ignore(done: int, total: int) -> None:
    """No progress is shown."""


def document(identity: str, text: str) -> Document:
    return Document(id=identity, source="handbook", language="ja", uri=f"file:{identity}", text=text)


class Uniform(torch.nn.Module):
    """A language model that finds each of its pieces equally likely."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=pieces)
        self.device = torch.device("cpu")

    def forward(self, tokens: torch.Tensor, logits_to_keep: int) -> Any:
        return SimpleNamespace(logits=torch.zeros(len(tokens), logits_to_keep, self.config.vocab_size))


class Chunks:
    """A tokenizer whose pieces are all strings of `length` letters of "ab"; BOS is the last id."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.bos_token_id = 2**length

    def encode(self, text: str, **_: Any) -> list[int]:
        cut = [text[place : place + self.length] for place in range(0, len(text), self.length)]
        return [int(piece.replace("a", "0").replace("b", "1"), 2) for piece in cut]


def test_bits_are_those_of_a_hand_computation() -> None:
    model, tokenizer = build_model(7), fast_tokenizer()
    ids = [1, *tokenizer.encode(TEXT, add_special_tokens=False)]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].double()
    by_hand = 0.0
    for place in range(1, len(ids)):
        shares = [math.exp(value) for value in logits[place - 1].tolist()]
        by_hand -= math.log2(shares[ids[place]] / sum(shares))
    bits, tokens = Ruler(model, tokenizer, 1024, 4).measure([TEXT], ignore)
    assert tokens == len(ids) - 1 == count_bytes([TEXT])
    assert bits == pytest.approx(by_hand, rel=1e-5)


def test_a_document_longer_than_the_window_is_scored_with_at_least_half_a_window_of_context() -> None:
    model, tokenizer = build_model(7), fast_tokenizer()
    ids, size, by_hand = [1, *tokenizer.encode(TEXT, add_special_tokens=False)], 16, 0.0
    for place in range(1, len(ids)):
        end = next(end for end in [16, *range(24, 1000, 8)] if end > place)
        begin = max(0, min(end, len(ids)) - size)
        with torch.inference_mode():
            logits = model(torch.tensor([ids[begin:place]])).logits[0, -1]
        by_hand -= torch.log_softmax(logits.double(), 0)[ids[place]].item() / math.log(2)
    bits, _ = Ruler(model, tokenizer, size, 3).measure([TEXT], ignore)
    assert bits == pytest.approx(by_hand, rel=1e-5)


def test_the_same_distribution_costs_the_same_bits_per_byte_under_another_tokenizer() -> None:
    text = "abbabaab" * 40
    single, quadruple = (
        Ruler(Uniform(2**length), Chunks(length), 32, 2).measure([text], ignore) for length in (1, 4)
    )
    assert single[1] == 4 * quadruple[1]
    assert single[0] / count_bytes([text]) == pytest.approx(1.0)
    assert quadruple[0] / count_bytes([text]) == pytest.approx(1.0)


def test_a_renumbered_vocabulary_changes_nothing() -> None:
    model, tokenizer = build_model(7), fast_tokenizer()
    order = torch.randperm(259, generator=torch.Generator().manual_seed(3))
    renumbered = build_model(7)
    with torch.no_grad():
        for name in ("get_input_embeddings", "get_output_embeddings"):
            getattr(renumbered, name)().weight[order] = getattr(model, name)().weight

    class Renumbered:
        bos_token_id = int(order[1])

        def encode(self, text: str, **options: Any) -> list[int]:
            return [int(order[number]) for number in tokenizer.encode(text, **options)]

    one, _ = Ruler(model, tokenizer, 32, 2).measure([TEXT], ignore)
    other, _ = Ruler(renumbered, Renumbered(), 32, 2).measure([TEXT], ignore)
    assert one == pytest.approx(other, rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_bits_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    texts = [TEXT, TEXT[5:20], "。", TEXT * 3]
    one, _ = Ruler(build_model(7), fast_tokenizer(), 32, 1).measure(texts, ignore)
    bits, _ = Ruler(build_model(7), fast_tokenizer(), 32, batch_size).measure(texts, ignore)
    assert bits == pytest.approx(one, rel=1e-6)


@given(st.integers(0, 200), st.one_of(st.none(), st.just(999)), st.integers(2, 40))
def test_windows_score_every_token_once_in_order_and_never_exceed_their_size(count: int, bos: int | None, size: int) -> None:
    tokens = list(range(count))
    windows = make_windows(tokens, bos, size)
    scored = [token for window in windows for token in window.tokens[window.start :]]
    assert scored == (tokens if bos is not None else tokens[1:])
    assert all(len(window.tokens) <= size and window.start >= 1 for window in windows)
    assert all(window.start >= size // 2 for window in windows[1:])


def test_texts_are_chosen_by_id_up_to_exactly_the_characters_asked_for() -> None:
    documents = [document("c", "三つめの文書"), document("a", "一つめ"), document("b", "二つめの文書")]
    assert first_texts(documents, 6) == ["一つめ", "二つめ"]
    assert first_texts(reversed(documents), 6) == ["一つめ", "二つめ"]
    assert first_texts(documents, 1000) == ["一つめ", "二つめの文書", "三つめの文書"]
