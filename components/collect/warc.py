"""The collector: it fetches every source into a WARC file of pages, and the base model's files, and pins them in a manifest."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, field_validator

from components.base.model_summary import ModelSummary
from components.base.ports import Context
from components.collect.contract import Collector, CollectReport
from components.collect.debian import DebianSource
from components.collect.huggingface import HuggingFaceModel, HuggingFaceSource
from components.collect.local import LocalModel, LocalSource
from components.collect.pypi import PyPIModel, PyPISource
from components.collect.s3 import S3Source
from components.collect.source import Shelf, SourceFields, copy_files, measure
from components.errors import SourceMissing
from components.formats.manifest import CollectedModel, CollectedSource, Manifest, warc_path, write_manifest

Source = Annotated[
    DebianSource | PyPISource | LocalSource | S3Source | HuggingFaceSource, Field(discriminator="kind")
]
Model = Annotated[PyPIModel | LocalModel | HuggingFaceModel, Field(discriminator="kind")]
Collected = TypeVar("Collected")
GGUF = ".gguf"


class WarcCollector(Collector):
    """Fetches every source and keeps its pages as WARC records, as a crawler would have left them.

    A model's file whose name ends in `.gguf` becomes config.json, model.safetensors and the tokenizer's files.
    """

    kind: Literal["warc"]
    version: Literal[1]
    sources: list[Source] = Field(min_length=1)
    model: Model

    @field_validator("sources")
    @classmethod
    def names_differ(cls, sources: list[Source]) -> list[Source]:
        """A name is a file below `pages/`: two sources cannot share it."""
        names = [source.name for source in sources]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources are called {double[0]!r}; give each its own name")
        return sources

    def model_summary(self, before: ModelSummary) -> ModelSummary:  # noqa: ARG002  (it is the first)
        """The summary of the base model."""
        return self.model.model_summary()

    def preflight(self) -> list[str]:
        """Names the package that a GGUF needs, if it is not installed."""
        from importlib.util import find_spec

        if find_spec("gguf") or not any(name.endswith(GGUF) for name in self.model.asked()):
            return []
        return ["a .gguf model needs the package gguf; install martlet[gguf], or name a model with safetensors weights"]

    def run(self, context: Context, output: Path) -> CollectReport:
        """Writes the sources in the order of the parameters, then the model, then the manifest."""
        shelf = Shelf(context, context.scratch / "unpacked")
        shutil.rmtree(shelf.room, ignore_errors=True)
        shelf.room.mkdir(parents=True)
        try:
            sources = [self.collect(source, number, shelf, output) for number, source in enumerate(self.sources, 1)]
            model = naming(self.model, lambda: fetch_model(self.model, shelf, output / "model"))
        finally:
            shutil.rmtree(shelf.room)
        manifest = Manifest(sources=sources, model=model)
        write_manifest(output, manifest)
        return CollectReport(
            sources=len(sources),
            pages=manifest.pages,
            bytes=sum(source.warc.bytes for source in sources),
            languages=sorted({source.language for source in sources}),
            model_files=sorted(model.files),
        )

    def collect(self, source: Source, number: int, shelf: Shelf, output: Path) -> CollectedSource:
        """One source, from its address to its WARC file."""
        shelf.context.journal.progress(number, len(self.sources) + 1, source.name)
        return naming(source, lambda: fetch_source(source, shelf, warc_path(output, source.name)))


def naming(origin: SourceFields, fetch: Callable[[], Collected]) -> Collected:
    """What `fetch` returns; its `SourceMissing` then names the source as the parameters do."""
    try:
        return fetch()
    except SourceMissing as error:
        raise SourceMissing(f"collect: the source {origin.name!r} cannot be had: {error}") from error


def fetch_source(source: Source, shelf: Shelf, warc: Path) -> CollectedSource:
    """Fetches a source and writes its pages to `warc`."""
    from components.collect.records import write_warc

    fetched = source.fetch(shelf)
    pages = write_warc(warc, fetched, source.licence)
    return CollectedSource(
        name=source.name, kind=source.kind, uri=fetched.uri, version=fetched.version, licence=source.licence,
        language=source.language, pages=pages, archive=fetched.archive, warc=measure(warc),
    )


def fetch_model(source: Model, shelf: Shelf, folder: Path) -> CollectedModel:
    """Fetches the base model and copies its files into `folder`."""
    fetched = source.fetch(shelf)
    files = copy_files(readable(source.targets(fetched), shelf), folder)
    return CollectedModel(
        name=source.name, kind=source.kind, uri=fetched.uri, version=fetched.version, licence=source.licence,
        archive=fetched.archive, files=files,
    )


def readable(targets: dict[str, Path], shelf: Shelf) -> dict[str, Path]:
    """The model's files by name; instead of a GGUF, the files that it was converted to. Raises `SourceMissing`."""
    found: dict[str, Path] = {}
    for name, path in targets.items():
        if not name.endswith(GGUF):
            found[name] = path
            continue
        from components.collect.gguf_worker import convert_gguf

        shelf.context.journal.say(f"{path.name} becomes safetensors in float32, exactly as its blocks say")
        folder = shelf.place()
        convert_gguf(path, folder)
        found |= {str(Path(name).parent / each.name): each for each in sorted(folder.iterdir())}
    return found
