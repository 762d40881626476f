"""Writes model folders small enough for a test: a Mistral of a few thousand weights with its own byte-level tokenizer."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}


def build_tokenizer() -> Tokenizer:
    """Every byte is a piece, after the three special tokens; BOS stands in front if special tokens are asked for."""
    pieces = [*SPECIAL.values(), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(numbers, [], unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens(list(SPECIAL.values()))
    return tokenizer


def fast_tokenizer() -> Any:
    """The same tokenizer in the class of transformers."""
    return PreTrainedTokenizerFast(tokenizer_object=build_tokenizer(), **SPECIAL)


def build_model(seed: int, **changes: Any) -> Any:
    """A Mistral with random weights in float32."""
    settings: dict[str, Any] = {
        "vocab_size": 259, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": 2048, "sliding_window": None, "bos_token_id": 1,
        "eos_token_id": 2, "initializer_range": 0.2,
    }
    torch.manual_seed(seed)
    return MistralForCausalLM(MistralConfig(**(settings | changes))).eval()


def write_model(folder: Path, seed: int, **changes: Any) -> Path:
    """Writes model and tokenizer as `train` leaves them; returns the folder."""
    build_model(seed, **changes).save_pretrained(folder)
    fast_tokenizer().save_pretrained(folder)
    return folder
