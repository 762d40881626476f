"""A site's name in, what a stage may use there out."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

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


def load_site(name: str) -> Site:
    """Reads a site. Raises `ParameterError` naming the file, the key, and the sites that there are."""
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
        raise ParameterError(f"there is no site {name!r} in {FOLDER}. There are: {there}. Set MARTLET_SITE to one of them.")
    try:
        values = SiteFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ParameterError(f"{path} does not describe a site: {problems}") from None
    return Site(**values.model_dump())
