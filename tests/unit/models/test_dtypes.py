"""One table says what safetensors, torch and a training's precision call a type."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import save_file

from components.models.dtypes import DTYPES, dtype_of_precision, torch_name
from components.models.safetensors_stream import read_header
from components.train.parameters import TrainingParameters


@pytest.mark.parametrize("name", DTYPES)
def test_torch_and_safetensors_call_a_type_as_the_table_does(name: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, dtype=getattr(torch, DTYPES[name].torch))}, tmp_path / "file.safetensors")
    assert [tensor.dtype for tensor in read_header(tmp_path / "file.safetensors").tensors] == [name]


def test_every_precision_has_one_type() -> None:
    precisions = get_args(TrainingParameters.model_fields["precision"].annotation)
    assert sorted(precisions) == sorted(precision for dtype in DTYPES.values() for precision in dtype.precisions)
    assert {precision: dtype_of_precision(precision).safetensors for precision in precisions} == {
        "fp32": "F32", "bf16": "BF16", "pure_bf16": "BF16",
    }


def test_a_type_that_is_not_in_the_table_keeps_its_name() -> None:
    assert (torch_name("BF16"), torch_name("F8_E4M3")) == ("bfloat16", "F8_E4M3")
