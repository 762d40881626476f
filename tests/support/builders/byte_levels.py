"""Trains small byte-level BPE tokenizers in the manner of three model families, on any text that a test has."""

import json
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.builders import texts, vocabularies

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 cuts text into words."""
SPLIT = {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}
PLAIN = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
DIGITS = {"type": "Digits", "individual_digits": True}
ENGLISH = (*vocabularies.ENGLISH, *texts.ENGLISH)
JAPANESE = (*texts.JAPANESE, *vocabularies.JAPANESE)
TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"

FAMILIES = ("smollm", "llama", "qwen")
"""smollm: special tokens first, single digits; llama, qwen: special tokens last; llama: known words stay whole; qwen: NFC."""


def train(family: str, lines: Iterable[str], pieces: int) -> dict[str, Any]:
    """The specification of a base with about `pieces` pieces, special tokens included."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=family == "llama"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=pieces - (0 if family == "smollm" else len(specials)), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), special_tokens=specials if family == "smollm" else [],
    )
    if family == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), tokenizer.pre_tokenizer])
    tokenizer.train_from_iterator(lines, trainer)
    if family != "smollm":
        tokenizer.add_special_tokens(specials)
    specification: dict[str, Any] = json.loads(tokenizer.to_str())
    return specification | _rules(family, specification)


def _rules(family: str, specification: dict[str, Any]) -> dict[str, Any]:
    """The settings that are the family's own."""
    if family == "smollm":  # and its merges are written in the older notation
        model = specification["model"]
        return {"model": model | {"merges": [" ".join(merge) for merge in model["merges"]]}}
    rules: dict[str, Any] = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT, PLAIN]}}
    if family == "llama":
        bos = specification["added_tokens"][0]
        single = [{"SpecialToken": {"id": bos["content"], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        tokens = {bos["content"]: {"id": bos["content"], "ids": [bos["id"]], "tokens": [bos["content"]]}}
        template = {"type": "TemplateProcessing", "single": single, "pair": [*single, *single], "special_tokens": tokens}
        return rules | {"post_processor": template}
    thought = {**specification["added_tokens"][-1], "content": "<think>", "special": False}
    thought["id"] += 1
    return rules | {"normalizer": {"type": "NFC"}, "added_tokens": [*specification["added_tokens"], thought]}


@cache
def _small(family: str) -> dict[str, Any]:
    return train(family, [*ENGLISH, *JAPANESE[:3]], 480)


def small(family: str) -> dict[str, Any]:
    """A base of some 480 pieces: mostly English, hardly any Japanese. The caller may change it."""
    return deepcopy(_small(family))


def write(folder: Path, specification: dict[str, Any], **settings: Any) -> Path:
    """Writes `tokenizer.json`, `tokenizer_config.json` and a chat template; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(specification, ensure_ascii=False), encoding="utf-8")
    names = {"bos_token": "<|endoftext|>", "eos_token": {"content": "<|im_end|>", "__type": "AddedToken"}}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names, "model_max_length": 256} | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return folder
