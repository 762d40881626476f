"""Writes a release's model card (README.md) from its facts; the words are in card.md.j2."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.errors import InputError
from components.formats.scores import BASE, TRAINED, Scores, TaskScore
from components.publish.checks import ReleaseConfig
from components.records import Record

TEMPLATE = "card.md.j2"
NEEDED = ("collect", "clean", "expand", "train")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
USEFUL_TOKENS = 1_000_000_000
"""A model that was trained on fewer tokens is called a demonstration in its card."""

LANGUAGES = {"ja": "Japanese", "en": "English"}
PROMPTS = {"ja": "Debianのパッケージは、", "en": "A Debian package is"}


class Release(Protocol):
    """What a publisher knows about its release."""

    @property
    def name(self) -> str:
        """The folder's or repository's name."""

    @property
    def title(self) -> str:
        """The card's headline."""

    @property
    def licence(self) -> str:
        """An identifier as the Hub has it, in lower case."""

    @property
    def base_model(self) -> str:
        """A repository on the Hub, or a description in a few words."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Language codes."""


@dataclass(frozen=True)
class Column:
    """One benchmark in a table: its head and its cells."""

    name: str
    metric: str
    shots: str
    items: int
    base: str
    trained: str
    change: str


def render_card(release: Release, records: Sequence[Record], scores: Scores, config: ReleaseConfig) -> str:
    """The card as Markdown with YAML front matter. Raises `InputError` if a stage's record is missing."""
    by_stage = {record.stage: record for record in records}
    if missing := [stage for stage in NEEDED if stage not in by_stage]:
        raise InputError(f"the model card needs the records of {', '.join(missing)}. Run `dvc repro {missing[0]}`.")
    # Markdown, not HTML: nothing is escaped
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE).render(
        front_matter=front_matter(release, config),
        release=release,
        language_names=" and ".join(language_name(code) for code in release.languages),
        prompt=PROMPTS.get(release.languages[0], "1, 2, 3,"),
        config=config.values,
        demonstration=by_stage["train"].report["tokens"] < USEFUL_TOKENS,
        benchmarks=benchmark_tables(scores),
        scores=scores,
        base=BASE,
        trained=TRAINED,
        records=records,
        training=training_rows(by_stage["train"]),
        **data_facts(by_stage),
        expand=by_stage["expand"].report,
        train=by_stage["train"].report,
    )


def front_matter(release: Release, config: ReleaseConfig) -> str:
    """The YAML that the Hub reads. There `base_model` must be a repository, so a description is left out."""
    values: dict[str, Any] = {
        "language": list(release.languages),
        "license": release.licence,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
    }
    if HUB_NAME.fullmatch(release.base_model):
        values["base_model"] = release.base_model
    values["tags"] = [config.values["model_type"], "continual-pretraining", "martlet"]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip()


def benchmark_tables(scores: Scores) -> dict[str, list[Column]]:
    """A table for each language, in the order of the tasks."""
    languages = dict.fromkeys(task.language for task in scores.tasks)
    return {
        language_name(code): [column(task) for task in scores.tasks if task.language == code] for code in languages
    }


def column(task: TaskScore) -> Column:
    """One benchmark's cells."""
    base, trained = task.scores[BASE].value, task.scores[TRAINED].value
    return Column(
        name=task.name, metric=task.metric, shots=f"{task.shots}-shot", items=task.items,
        base=f"{base:.4f}", trained=f"{trained:.4f}", change=f"{trained - base:+.4f}",
    )


def data_facts(by_stage: Mapping[str, Record]) -> dict[str, Any]:
    """The sources that were trained on, those that were not, and the collected base model."""
    parameters = by_stage["collect"].parameters
    languages = by_stage["clean"].parameters.get("languages")
    sources = [source_row(source) for source in parameters["sources"]]
    used = [row for row in sources if languages is None or row["language"] in languages]
    model = parameters.get("model")
    return {
        "sources": used,
        "refused": [row for row in sources if row not in used],
        "collected_model": source_row(model) if model else None,
        "clean": by_stage["clean"].report,
    }


def source_row(source: Mapping[str, Any]) -> dict[str, str]:
    """Name, place, language and licence of a source; each kind of source has its own word for the place."""
    places = ("package", "repository", "bucket", "path")
    place = next((str(source[key]) for key in places if key in source), "")
    row = {key: str(source.get(key, "")) for key in ("name", "language", "licence")}
    return row | {"place": f"{source['kind']}: {place}"}


def training_rows(record: Record) -> list[tuple[str, str]]:
    """Every parameter of the training; names of nested ones are joined by dots."""
    rows = [("kind", record.kind)]
    for key, value in record.parameters.items():
        if key not in ("kind", "version"):
            rows += flattened(key, value)
    return rows


def flattened(key: str, value: object) -> list[tuple[str, str]]:
    """A value as table rows."""
    if isinstance(value, dict):
        return [row for name, inner in value.items() for row in flattened(f"{key}.{name}", inner)]
    return [(key, written(value))]


def written(value: object) -> str:
    """A parameter's value as a person writes it."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(written(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value) if value < 10_000 else f"{value:,}"
    if isinstance(value, float) and value and not 1e-2 <= abs(value) < 1e6 and math.isfinite(value):
        return f"{value:.3g}"
    return str(value)


def language_name(code: str) -> str:
    """A language's English name, or its code."""
    return LANGUAGES.get(code, code)
