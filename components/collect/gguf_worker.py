"""Converts a GGUF file into a model folder: config.json, model.safetensors in float32, and the tokenizer's files.

It needs the package gguf (`martlet[gguf]`), so it is imported only if there is a GGUF to convert. Quantised weights become
what their blocks say, not what they were before; nothing in the folder shows the difference.
"""

import re
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, ReaderTensor, dequantize
from numpy.typing import NDArray

from components.collect.gguf_tokenizer import write_tokenizer
from components.errors import SourceMissing
from components.formats.files import write_json
from components.models.folder import EMBEDDING, HEAD
from components.models.safetensors_stream import Content, write_safetensors

LAYER = re.compile(r"blk\.(\d+)\.([a-z_]+)\.weight")
LAYER_TENSORS = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
OTHER_TENSORS = {"token_embd.weight": EMBEDDING, "output_norm.weight": "model.norm.weight", "output.weight": HEAD}
"""GGUF's names of a Llama's tensors, and the hub's."""


def convert_gguf(path: Path, folder: Path) -> None:
    """Writes the model folder; the same bytes for the same file. Takes memory for one tensor at a time.

    Raises `SourceMissing` if the file is not a GGUF, or has an architecture or a tokenizer that is not known here.
    """
    try:
        reader = GGUFReader(path)
    except ValueError as error:
        raise SourceMissing(f"{path.name} is not a GGUF file ({error}). Correct `files`.") from None
    values = Values(reader, path.name)
    config = config_of(values, {tensor.name for tensor in reader.tensors})
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(values.values, path.name, folder)
    write_json(folder / "config.json", config)
    partial = folder / ".model.safetensors.partial"
    write_safetensors(partial, [content_of(tensor, config, path.name) for tensor in reader.tensors], {"format": "pt"})
    partial.rename(folder / "model.safetensors")


class Values:
    """The file's metadata, by key."""

    def __init__(self, reader: GGUFReader, name: str) -> None:
        """Floats are the shortest decimals that mean the same 32 bits: 1e-5 was meant, and 9.999999747378752e-06 is stored."""
        self.name = name
        self.values: dict[str, Any] = {}
        for key, field in reader.fields.items():
            value = field.contents()
            self.values[key] = float(str(np.float32(value))) if field.types == [GGUFValueType.FLOAT32] else value

    def __getitem__(self, key: str) -> Any:
        """Raises `SourceMissing` if the key is absent."""
        if key not in self.values:
            raise SourceMissing(f"{self.name} does not state {key}. Name a whole GGUF model.")
        return self.values[key]


def config_of(values: Values, tensors: set[str]) -> dict[str, Any]:
    """The values of `config.json`. Raises `SourceMissing` if the model is not a plain Llama."""
    scaled = [key for key in values.values if key.startswith("llama.rope.scaling.")]
    if values["general.architecture"] != "llama" or scaled:
        found = scaled[0] if scaled else repr(values["general.architecture"])
        raise SourceMissing(f"{values.name} holds {found}, but the architecture 'llama' without rope scaling was expected. "
                            "Take the model as safetensors.")
    width, heads, theta = values["llama.embedding_length"], values["llama.attention.head_count"], values["llama.rope.freq_base"]
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": len(values["tokenizer.ggml.tokens"]),
        "hidden_size": width, "intermediate_size": values["llama.feed_forward_length"],
        "num_hidden_layers": values["llama.block_count"], "num_attention_heads": heads,
        "num_key_value_heads": values["llama.attention.head_count_kv"], "head_dim": width // heads,
        "max_position_embeddings": values["llama.context_length"],
        "rms_norm_eps": values["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": theta, "rope_parameters": {"rope_type": "default", "rope_theta": theta}, "hidden_act": "silu",
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": "output.weight" not in tensors,
        "bos_token_id": values["tokenizer.ggml.bos_token_id"], "eos_token_id": values["tokenizer.ggml.eos_token_id"],
        "dtype": "float32", "torch_dtype": "float32", "use_cache": True,
    }  # fmt: skip


def content_of(tensor: ReaderTensor, config: dict[str, Any], where: str) -> Content:
    """The tensor under the hub's name, in float32. Raises `SourceMissing` if it is not one of a Llama's."""
    layer = LAYER.fullmatch(tensor.name)
    name = OTHER_TENSORS.get(tensor.name)
    if layer and layer[2] in LAYER_TENSORS:
        name = f"model.layers.{layer[1]}.{LAYER_TENSORS[layer[2]]}.weight"
    if name is None:
        raise SourceMissing(f"{where} holds the tensor {tensor.name}, which is not a Llama's. Take the model as safetensors.")
    shape = tuple(int(size) for size in reversed(tensor.shape))  # GGUF counts the fastest dimension first
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}.get(layer[2] if layer else "")
    return Content(name, "F32", shape, 4 * prod(shape), read_weights(tensor, shape, heads))


def read_weights(tensor: ReaderTensor, shape: tuple[int, ...], heads: int | None) -> Iterator[memoryview]:
    """The tensor's numbers, read when asked for; `heads` is given for queries and keys, whose rows are in another order."""
    weights: NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type).astype("<f4").reshape(shape)
    if heads is not None:
        # llama.cpp rotates neighbouring pairs of rows, transformers rotates a head's first half against its second
        weights = weights.reshape(heads, shape[0] // heads // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)
    yield np.ascontiguousarray(weights).data.cast("B")
