"""Measures bits per byte of held-out text by language: at the start, with every checkpoint and at the end of a training.

The engine's weights are measured in place. Batches of windows are dealt to the ranks, and every rank makes the same number of
forward passes, because ZeRO-3 gathers the weights on all ranks together. Nothing is drawn at random, and no state of the
training changes.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy

from components.data.heldout_tokens import HeldoutWindow, read_windows
from components.data.token_shards import TokenShards
from components.train.loop.losses import UNCOUNTED
from components.train.metrics import HELDOUT, HELDOUT_BEFORE, Line
from components.train.request import TrainingRequest


class Heldout:
    """The held-out text of the token shards, and when it is measured."""

    def __init__(self, request: TrainingRequest, engine: Any, shards: TokenShards) -> None:
        """Reads the windows; every rank reads all of them."""
        index, training = shards.index, request.training
        self.engine, self.steps, self.every = engine, training.steps, training.checkpoint_every_steps
        self.texts, fingerprint = index.heldout, index.tokenizer_fingerprint
        assert fingerprint.eos is not None, "`pack` ends every document with it"
        special_tokens, length = (fingerprint.bos, fingerprint.eos), training.sequence_length
        windows = [
            each for text in self.texts for each in read_windows(shards.folder, text, index.dtype, special_tokens, length)
        ]
        windows.sort(key=lambda window: -len(window.tokens))  # similar lengths together: less of a batch is padding
        size = request.micro_batch_size
        self.batches = [windows[first : first + size] for first in range(0, len(windows), size)]

    def before(self, step: int) -> Line:
        """For the line of the first update: bits per byte of the weights that training began with; else nothing."""
        return {HELDOUT_BEFORE: self.measure()} if self.texts and step == 0 else {}

    def after(self, step: int) -> Line:
        """For the line of update `step`: bits per byte if a checkpoint follows it or it is the last one, else nothing."""
        due = (step + 1) % self.every == 0 or step + 1 == self.steps
        return {HELDOUT: self.measure()} if self.texts and due else {}

    def measure(self) -> dict[str, float]:
        """Bits per byte by language; all ranks take part, and all return the same."""
        rank, processes = dist.get_rank(), dist.get_world_size()
        languages = [text.language for text in self.texts]
        nats = torch.zeros(len(languages), dtype=torch.float64, device=self.engine.device)
        self.engine.eval()
        for first in range(0, len(self.batches), processes):
            mine = first + rank
            # a rank that has no batch left computes one nevertheless, and drops the result
            found = self._nats(self.batches[min(mine, len(self.batches) - 1)], languages)
            if mine < len(self.batches):
                nats += found
        self.engine.train()
        dist.all_reduce(nats)
        pairs = zip(self.texts, nats.tolist(), strict=True)
        return {text.language: round(value / math.log(2) / text.bytes, 6) for text, value in pairs}

    @torch.no_grad()
    def _nats(self, batch: Sequence[HeldoutWindow], languages: Sequence[str]) -> torch.Tensor:
        """The loss of a batch's scored tokens in nats, summed by language: shape (languages), fp64."""
        # padding stands at the right, where causal attention does not look
        longest = max(len(window.tokens) for window in batch)
        tokens = torch.zeros(len(batch), longest, dtype=torch.int64)
        targets = torch.full_like(tokens, UNCOUNTED)
        for row, window in enumerate(batch):
            tokens[row, : len(window.tokens)] = torch.from_numpy(window.tokens)
            targets[row, : len(window.tokens)] = tokens[row, : len(window.tokens)]
        tokens, targets = tokens.to(self.engine.device), targets[:, 1:].to(self.engine.device)
        with torch.compiler.set_stance("force_eager"):  # other lengths would make the training's graph slower
            logits = self.engine(input_ids=tokens[:, :-1], use_cache=False).logits
        each = cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=UNCOUNTED, reduction="none")
        rows = each.reshape(len(batch), -1).double().sum(dim=1)
        places = torch.tensor([languages.index(window.language) for window in batch], device=rows.device)
        return rows.new_zeros(len(languages)).index_add(0, places, rows)
