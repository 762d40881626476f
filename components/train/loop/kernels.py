"""Checks that this machine has what the site's kernels need."""

import os
import shutil
from importlib.util import find_spec

from components.errors import InputError
from components.train.request import Kernels


def check_kernels(kernels: Kernels, *, cuda: bool) -> None:
    """Raises `InputError` naming the first of the site's settings that this machine cannot follow."""
    compiler = os.environ.get("CXX", "g++")
    needs = [
        (kernels.attention_implementation != "flash_attention_2" or cuda, "attention_implementation: flash_attention_2",
         "a CUDA device, and there is none", "Set it to sdpa."),
        (kernels.attention_implementation != "flash_attention_2" or has("flash_attn"),
         "attention_implementation: flash_attention_2", "the package flash-attn, which is not installed",
         "Install it, or set it to sdpa."),
        (not kernels.fused_kernels or cuda, "fused_kernels: true", "a CUDA device, and there is none", "Set it to false."),
        (not kernels.fused_kernels or has("liger_kernel"), "fused_kernels: true",
         "the package liger-kernel, which is not installed", "Install it, or set it to false."),
        (not kernels.compile or shutil.which(compiler) is not None, "compile: true",
         f"a C++ compiler, and there is no {compiler}", "Install one, or set it to false."),
    ]  # fmt: skip
    for met, setting, need, remedy in needs:
        if not met:
            raise InputError(f"the site says `{setting}`, which needs {need}. {remedy}")


def has(package: str) -> bool:
    """Whether the package is installed; it is not imported."""
    return find_spec(package) is not None
