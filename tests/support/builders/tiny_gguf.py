"""Writes a tiny Llama as a GGUF file, as llama.cpp does: the input of the conversion's tests."""

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quantize
from numpy.typing import NDArray

WIDTH, HEADS, KEY_VALUE_HEADS, INNER, LAYERS = 64, 4, 2, 96, 2
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def names_and_shapes(pieces: int) -> dict[str, tuple[int, ...]]:
    """GGUF's names of a tiny tied Llama's tensors, with their shapes in the Hugging Face layout."""
    narrow = WIDTH // HEADS * KEY_VALUE_HEADS
    layer = {
        "attn_norm": (WIDTH,), "attn_q": (WIDTH, WIDTH), "attn_k": (narrow, WIDTH), "attn_v": (narrow, WIDTH),
        "attn_output": (WIDTH, WIDTH), "ffn_norm": (WIDTH,), "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH),
        "ffn_down": (WIDTH, INNER),
    }
    layers = {f"blk.{number}.{name}.weight": shape for number in range(LAYERS) for name, shape in layer.items()}
    return {"token_embd.weight": (pieces, WIDTH), **layers, "output_norm.weight": (WIDTH,)}


def write_gguf(path: Path, specification: dict[str, Any], **changes: Any) -> Path:
    """Writes the file with a tokenizer's vocabulary; `changes`: `architecture`, `pre`, `more` (a tensor's name). Returns it.

    Matrices are quantised to four bits, the embedding to eight, norms are not, as in a Q4_1 file; their values are random.
    """
    writer = GGUFWriter(path, changes.get("architecture", "llama"))
    for add, value in {
        writer.add_block_count: LAYERS, writer.add_context_length: 128, writer.add_embedding_length: WIDTH,
        writer.add_feed_forward_length: INNER, writer.add_head_count: HEADS, writer.add_head_count_kv: KEY_VALUE_HEADS,
        writer.add_rope_freq_base: 50_000.0, writer.add_layer_norm_rms_eps: 1e-5, writer.add_bos_token_id: 1,
        writer.add_eos_token_id: 2, writer.add_add_bos_token: False, writer.add_tokenizer_model: "gpt2",
        writer.add_tokenizer_pre: changes.get("pre", "smollm"), writer.add_chat_template: "{{ messages }}",
    }.items():
        add(value)
    vocabulary: dict[str, int] = specification["model"]["vocab"]
    pieces = sorted(vocabulary, key=lambda piece: vocabulary[piece])
    writer.add_token_list(pieces)
    writer.add_token_types([TokenType.CONTROL if piece in CONTROL else TokenType.NORMAL for piece in pieces])
    writer.add_token_merges(specification["model"]["merges"])
    random = np.random.default_rng(0)
    shapes = names_and_shapes(len(pieces)) | ({changes["more"]: (WIDTH,)} if "more" in changes else {})
    for name, shape in shapes.items():
        values: NDArray[np.float32] = random.normal(0, 0.2, shape).astype(np.float32)
        kind = GGMLQuantizationType.Q8_0 if name == "token_embd.weight" else GGMLQuantizationType.Q4_1
        if len(shape) == 1:
            writer.add_tensor(name, 1 + values)
        else:
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
