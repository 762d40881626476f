"""Writes tokenizer.json, tokenizer_config.json and the chat template from a GGUF's metadata.

A GGUF names a tokenizer's way of cutting text into words but does not describe it: what each name stands for is in `CUTS`.
(transformers' own conversion takes every name for GPT-2's, and so leaves SmolLM2's numbers whole.)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import SourceMissing
from components.formats.files import write_json, write_text

CONTROL = 3
"""The type of special tokens among `tokenizer.ggml.token_type`."""
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
CUTS: dict[str, dict[str, Any]] = {
    "gpt-2": BYTE_LEVEL,
    # https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct/blob/main/tokenizer.json
    "smollm": {"type": "Sequence", "pretokenizers": [DIGITS, BYTE_LEVEL]},
}
"""`pre_tokenizer` of tokenizer.json by `tokenizer.ggml.pre`."""
ROLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def write_tokenizer(values: Mapping[str, Any], where: str, folder: Path) -> None:
    """Writes the files. Raises `SourceMissing` if the tokenizer is of a kind that is not listed in `CUTS`."""
    kind, cut = values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.pre")
    if kind != "gpt2" or cut not in CUTS:
        raise SourceMissing(
            f"{where} has a tokenizer {kind!r} that cuts text as {cut!r}; "
            f"expected 'gpt2' that cuts it as one of {', '.join(sorted(CUTS))}. "
            "Take the model with its own tokenizer.json, as safetensors."
        )
    tokens: list[str] = values["tokenizer.ggml.tokens"]
    write_json(folder / "tokenizer.json", specification(tokens, values, CUTS[cut]))
    roles = {role: values.get(f"tokenizer.ggml.{key}_token_id") for role, key in ROLES.items()}
    write_json(folder / "tokenizer_config.json", {
        # this class takes tokenizer.json as it is
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{role: tokens[number] for role, number in roles.items() if number is not None},
        "clean_up_tokenization_spaces": False, "model_max_length": values["llama.context_length"],
    })  # fmt: skip
    if "tokenizer.chat_template" in values:
        write_text(folder / "chat_template.jinja", values["tokenizer.chat_template"])


def specification(tokens: list[str], values: Mapping[str, Any], cut: dict[str, Any]) -> dict[str, Any]:
    """`tokenizer.json`: byte-level BPE, its special tokens taken whole; BOS in front only if the file says so."""
    special = [number for number, kind in enumerate(values["tokenizer.ggml.token_type"]) if kind == CONTROL]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    bos = tokens[values["tokenizer.ggml.bos_token_id"]] if values.get("tokenizer.ggml.add_bos_token") else None
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": number, "content": tokens[number], **flags} for number in special],
        "normalizer": None, "pre_tokenizer": cut, "post_processor": None if bos is None else template(tokens.index(bos), bos),
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)}, "merges": values["tokenizer.ggml.merges"],
        },
    }  # fmt: skip


def template(number: int, bos: str) -> dict[str, Any]:
    """A post-processor that puts the BOS in front."""
    single = [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    special = {bos: {"id": bos, "ids": [number], "tokens": [bos]}}
    return {"type": "TemplateProcessing", "single": single, "pair": [*single, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": special}
