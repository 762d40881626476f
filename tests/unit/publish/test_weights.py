"""Re-sharding moves tensors between files and changes no byte of them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.errors import InputError
from components.models.folder import INDEX
from components.publish.weights import release_weights

MEGABYTE = 1_000_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One file of 2.4 MB: tensors of three dtypes, one of them larger than a megabyte."""
    generator = torch.Generator().manual_seed(5)
    tensors = {
        "large": torch.randn(300, 1000, generator=generator),
        "half": torch.randn(200, 1000, generator=generator).to(torch.bfloat16),
        "small": torch.randn(7, generator=generator),
        "counts": torch.arange(100_000),
    }
    (tmp_path / "source").mkdir()
    save_file(tensors, tmp_path / "source/model.safetensors", metadata={"format": "pt"})
    (tmp_path / "target").mkdir()
    return tmp_path / "source"


def test_weights_below_the_limit_are_copied_byte_for_byte(source: Path) -> None:
    target = source.parent / "target"
    release_weights(source, target, 10 * MEGABYTE)
    assert [path.name for path in target.iterdir()] == ["model.safetensors"]
    assert (target / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()


def test_larger_weights_become_shards_that_hold_the_same_tensors(source: Path) -> None:
    target = source.parent / "target"
    release_weights(source, target, MEGABYTE)
    index = json.loads((target / INDEX).read_text(encoding="utf-8"))
    shards = sorted(target.glob("*.safetensors"))
    assert [path.name for path in shards] == [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    expected, found = load_file(source / "model.safetensors"), {}
    for path in shards:
        held = load_file(path)
        assert {index["weight_map"][name] for name in held} == {path.name}
        found |= held
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) and found[name].dtype == expected[name].dtype for name in found)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in expected.values())


def test_only_a_single_tensor_may_be_larger_than_a_shard(source: Path) -> None:
    target = source.parent / "target"
    release_weights(source, target, MEGABYTE)
    for path in target.glob("*.safetensors"):
        held = load_file(path)
        assert len(held) == 1 or sum(tensor.nbytes for tensor in held.values()) <= MEGABYTE


def test_the_same_weights_give_the_same_shards(source: Path) -> None:
    first, second = source.parent / "target", source.parent / "again"
    second.mkdir()
    for target in (first, second):
        release_weights(source, target, MEGABYTE)
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {p.name: p.read_bytes() for p in second.iterdir()}


def test_a_file_that_was_cut_short_is_refused(source: Path) -> None:
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="is not a whole safetensors file"):
        release_weights(source, source.parent / "target", MEGABYTE)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no"):
        release_weights(tmp_path, tmp_path, MEGABYTE)
