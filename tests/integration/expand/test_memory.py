"""A model of Mistral-7B's width and vocabulary is enlarged in a few blocks of memory; `transformers` loads what comes out."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from components.expand.embeddings.initialise import MeanOfSubpieces
from components.expand.embeddings.weights import Rows, check_matrices, enlarge
from components.models.folder import EMBEDDING, HEAD, INDEX, check_rows
from components.models.safetensors_stream import Content, write_safetensors

BASE, ADDED, WIDTH = 32_000, 10_800, 4096
ATTENTION = {"q": 4096, "k": 1024, "v": 1024, "o": 4096}
MEBIBYTE = 1 << 20
MEASURED = """
import json, sys, time
from pathlib import Path
from components.expand.embeddings.initialise import MeanOfSubpieces
from components.expand.embeddings.weights import Rows, check_matrices, enlarge

def resident(key):  # not getrusage, whose peak begins with the memory of the process that started this one
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(key))

model, output, base = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rows = Rows(base, json.load(sys.stdin), 0, MeanOfSubpieces(kind="mean_of_subpieces"), 1)
before, started = resident("VmRSS:"), time.perf_counter()
check_matrices(model, base, 0)
enlarge(model, output, rows)
json.dump({"growth": resident("VmHWM:") - before, "seconds": time.perf_counter() - started,
           "torch": "torch" in sys.modules}, sys.stdout)
"""


def random_blocks(seed: int, rows: int) -> Any:
    """Random bfloat16 numbers below 2 (the highest bit of the exponent is off), [rows, 4096] as bytes, 1,000 rows at a time."""
    generator = np.random.default_rng(seed)
    for begin in range(0, rows, 1000):
        shape = (min(1000, rows - begin), WIDTH)
        yield (generator.integers(0, 1 << 16, shape, dtype=np.uint16) & 0xBFFF).tobytes()


def write_wide_model(folder: Path) -> int:
    """Embedding, attention and head of Mistral-7B's shapes in three shards; returns the bytes of the largest."""
    folder.mkdir()
    attention = {f"model.layers.0.self_attn.{name}_proj.weight": rows for name, rows in ATTENTION.items()}
    shards = [{EMBEDDING: BASE, "model.layers.0.input_layernorm.weight": 1}, attention, {HEAD: BASE, "model.norm.weight": 1}]
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-00003.safetensors"
        places |= dict.fromkeys(shard, name)
        contents = [
            Content(tensor, "BF16", (rows, WIDTH) if rows > 1 else (WIDTH,), rows * WIDTH * 2, random_blocks(len(tensor), rows))
            for tensor, rows in shard.items()
        ]
        write_safetensors(folder / name, contents, {"format": "pt"})
    size = 2 * WIDTH * sum(rows for shard in shards for rows in shard.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": places}))
    (folder / "config.json").write_text(json.dumps({"vocab_size": BASE, "tie_word_embeddings": False}))
    return max(path.stat().st_size for path in folder.glob("*.safetensors"))


def slice_of(folder: Path, name: str) -> Any:
    """The matrix's slice, from whichever shard it is in."""
    shard = json.loads((folder / INDEX).read_text())["weight_map"][name]
    return safe_open(folder / shard, framework="pt").get_slice(name)


def test_enlarging_a_7b_shaped_model_takes_blocks_and_no_matrix(tmp_path: Path) -> None:
    model, output = tmp_path / "model", tmp_path / "enlarged"
    largest = write_wide_model(model)
    rng = random.Random(1)
    subpieces = [[rng.randrange(BASE) for _ in range(rng.randint(1, 9))] for _ in range(ADDED)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, model, output, str(BASE)],
        input=json.dumps(subpieces), capture_output=True, text=True, check=True,
    )
    measured = json.loads(done.stdout)
    print(f"largest shard {largest / MEBIBYTE:.0f} MiB, grew by {measured['growth'] / MEBIBYTE:.1f} MiB, "  # noqa: T201
          f"{measured['seconds']:.1f} s")
    assert measured["growth"] < 64 * MEBIBYTE < largest / 3, measured
    assert not measured["torch"]
    for name in (EMBEDDING, HEAD):
        old, new = slice_of(model, name), slice_of(output, name)
        assert new.get_shape() == [BASE + ADDED, WIDTH]
        for begin in range(0, BASE, 8000):
            assert torch.equal(old[begin:begin + 8000].view(torch.int16), new[begin:begin + 8000].view(torch.int16))
        for place in [0, 255, 256, *rng.sample(range(ADDED), 200), ADDED - 1]:
            mean = np.mean([old[row:row + 1][0].float().numpy() for row in subpieces[place]], axis=0, dtype=np.float32)
            assert torch.equal(new[BASE + place:BASE + place + 1][0], torch.from_numpy(mean).to(torch.bfloat16))


def architectures() -> dict[str, Any]:
    """Small models of the three kinds, the Llama's head tied."""
    from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM

    shape: dict[str, Any] = {
        "vocab_size": 500, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.2,
    }
    return {
        "mistral": MistralForCausalLM(MistralConfig(**shape)),
        "mixtral": MixtralForCausalLM(MixtralConfig(**shape, num_local_experts=4, num_experts_per_tok=2)),
        "llama": LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=True)),
    }


@pytest.mark.parametrize(("name", "head_stored"), [
    ("mistral", True), ("mixtral", True), ("llama", False), ("llama", True),
])
def test_transformers_loads_it_whole_and_it_says_of_old_pieces_what_it_said(
    tmp_path: Path, name: str, head_stored: bool
) -> None:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model, output, released = tmp_path / "model", tmp_path / "enlarged", tmp_path / "released"
    architectures()[name].to(torch.bfloat16).save_pretrained(model, max_shard_size="60KB")
    if name == "llama" and head_stored:
        store_head(model)
    assert (HEAD in json.loads((model / INDEX).read_text())["weight_map"]) == head_stored
    rows = Rows(500, [[7, 8], [499]], 2, MeanOfSubpieces(kind="mean_of_subpieces"), 1)
    check_matrices(model, 500, 0)
    enlarge(model, output, rows)
    assert len(list(output.glob("*.safetensors"))) == len(list(model.glob("*.safetensors"))) > 1
    old = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    new, loading = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32, output_loading_info=True)
    assert not any(loading.values()), loading
    assert (new.lm_head.weight is new.model.embed_tokens.weight) == (name == "llama")
    assert new.get_input_embeddings().weight.shape == new.get_output_embeddings().weight.shape == (504, 32)
    ids = torch.arange(0, 500, 5)[None]
    with torch.no_grad():
        assert torch.allclose(new(ids).logits[..., :500], old(ids).logits, atol=1e-5)
    # what training saves, publishing reads: the key must survive transformers' own writer
    new.to(torch.bfloat16).save_pretrained(released)
    assert json.loads((released / "config.json").read_text())["padding_rows"] == 2
    check_rows(released, 502)


def store_head(model: Path) -> None:
    """Adds the head's own copy to a checkpoint whose head is tied, as some writers leave it."""
    index = json.loads((model / INDEX).read_text())
    with safe_open(model / index["weight_map"][EMBEDDING], framework="pt") as shard:
        head = shard.get_tensor(EMBEDDING)
    save_file({HEAD: head}, model / "model-head.safetensors", metadata={"format": "pt"})
    index["weight_map"][HEAD] = "model-head.safetensors"
    (model / INDEX).write_text(json.dumps(index))
