"""Measures the bits that held-out documents cost a model; per UTF-8 byte, so that tokenizers can be compared.

Each document is scored as it was trained on: BOS first if the tokenizer has one (as context; it costs nothing), then the
tokens of the text. EOS is not part of the text and is not scored. A document longer than the window is read in windows that
overlap by half, so that every token except those of the first window has at least half a window before it.

Imports torch: only `components.evaluate.engine.measure` may import this file.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

LOGITS = 1 << 26
"""The most logits at once (256 MB in float32): larger batches spend their time in page faults, not in arithmetic."""


@dataclass(frozen=True)
class ScoringWindow:
    """Tokens that the model sees at once; those from `start` on are scored."""

    tokens: tuple[int, ...]
    start: int


def make_windows(tokens: Sequence[int], bos: int | None, size: int) -> list[ScoringWindow]:
    """Windows of at most `size` tokens in which each of `tokens` is scored exactly once.

    Without a BOS the first token has no context and cannot be scored: it only serves as context.
    """
    sequence = ([] if bos is None else [bos]) + list(tokens)
    windows, scored = [], 1
    while scored < len(sequence):
        end = min(size if scored == 1 else scored + size // 2, len(sequence))
        begin = max(0, end - size)
        windows.append(ScoringWindow(tuple(sequence[begin:end]), scored - begin))
        scored = end
    return windows


@dataclass(frozen=True)
class Ruler:
    """A model that measures text, in windows of `size` tokens and at most `batch_size` windows at once."""

    model: Any
    tokenizer: Any
    size: int
    batch_size: int

    def measure(self, texts: Sequence[str], advance: Callable[[int, int], None]) -> tuple[float, int]:
        """The bits that all texts cost, and their number of tokens; calls `advance(done, total)` after each batch."""
        tokens = [self.tokenizer.encode(text, add_special_tokens=False, verbose=False) for text in texts]
        bos = self.tokenizer.bos_token_id
        windows = [window for each in tokens for window in make_windows(each, bos, self.size)]
        # similar windows together: a batch computes logits from its earliest scored token on
        windows.sort(key=lambda w: (w.start, -len(w.tokens)))
        rows = max(1, min(self.batch_size, LOGITS // (self.size // 2 * self.model.config.vocab_size)))
        nats = 0.0
        for first in range(0, len(windows), rows):
            batch = windows[first : first + rows]
            nats += self.batch_nats(batch)
            advance(first + len(batch), len(windows))
        return nats / math.log(2), sum(map(len, tokens))

    @torch.inference_mode()
    def batch_nats(self, batch: Sequence[ScoringWindow]) -> float:
        """−ln p summed over the windows' scored tokens; padding is at the right, where causal attention does not look."""
        longest = max(len(window.tokens) for window in batch)
        first = min(window.start for window in batch) - 1
        rows = [list(window.tokens) + [0] * (longest - len(window.tokens)) for window in batch]
        tokens = torch.tensor(rows, device=self.model.device)
        # a number and not the positions: if the model lies on several GPUs, the positions would be needed on the last one
        logits = self.model(tokens, logits_to_keep=longest - first).logits
        nats = 0.0
        for window, row, scores in zip(batch, tokens, logits, strict=True):
            # row by row: one float32 copy of a window's logits at a time
            predicted = scores[window.start - 1 - first : len(window.tokens) - 1 - first].float()
            targets = row[window.start : len(window.tokens)]
            nats += torch.nn.functional.cross_entropy(predicted, targets, reduction="none").double().sum().item()
        return nats
