"""A site's name in, what a stage may use there out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from components.base import Site
from components.errors import ParameterError

FOLDER = Path(__file__).parent


class SiteFile(BaseModel):
    """One file of this folder: every value spelled out, nothing unknown."""

    model_config = ConfigDict(extra="forbid")

    name: str
    workers: PositiveInt
    train_processes: PositiveInt
    train_micro_batch_size: PositiveInt
    threads_per_process: PositiveInt
    evaluate_batch_size: PositiveInt
    attention_implementation: Literal["sdpa", "flash_attention_2", "eager"]
    compile: bool
    fused_kernels: bool
    asynchronous_checkpoints: bool
    accelerator_tflops: PositiveFloat | None


def load_site(name: str, changes: Sequence[str] = ()) -> Site:
    """Reads a site, with some values changed (`KEY=VALUE`).

    Raises `ParameterError` naming the file, the key, and the sites that there are.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
        raise ParameterError(f"there is no site {name!r} in {FOLDER}. There are: {there}. Set MARTLET_SITE to one of them.")
    try:
        values = SiteFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) | parsed(changes))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ParameterError(f"{path} does not describe a site: {problems}") from None
    return Site(**values.model_dump())


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """Each `KEY=VALUE` with its value as YAML reads it."""
    pairs = [change.partition("=") for change in changes]
    if wrong := [name for name, equals, text in pairs if not (name and equals and text)]:
        raise ParameterError(f"KEY=VALUE was expected, found {wrong[0]!r}. The keys are: {', '.join(SiteFile.model_fields)}.")
    return {name: yaml.safe_load(text) for name, _, text in pairs}
