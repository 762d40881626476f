"""Publishes a trained model as a folder: weights, tokenizer, scores, model card and lineage."""

import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from components.base.ports import Context
from components.errors import InputError
from components.formats.digests import digest_path
from components.formats.files import write_text
from components.formats.scores import SCORES_FILE, read_scores
from components.models.folder import copy_tokenizer
from components.publish.contract import Publisher, PublishReport
from components.tokenizers.fingerprint import FILE

PICTURE = "scores.png"
LANGUAGE = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class FolderPublisher(Publisher):
    """Lays out the release as a model repository: transformers can load the folder."""

    kind: Literal["folder"]
    version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    title: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    base_model: Annotated[str, Field(min_length=1)]
    languages: Annotated[tuple[LANGUAGE, ...], Field(min_length=1)]
    maximum_shard_megabytes: Annotated[int, Field(gt=0)]

    def run(self, context: Context, model: Path, scores: Path, records: Path, output: Path) -> PublishReport:
        """Raises `InputError` or `TokenizerMismatch` if model, scores and records do not belong together."""
        # imported here, so that stages that only read the parameters do not load jinja2 and tokenizers
        from components.publish.card import render_card
        from components.publish.checks import checked_config
        from components.publish.lineage import check_input, read_records, trace
        from components.publish.weights import release_weights

        known = read_records(records)
        for name, path in (("model", model), ("scores", scores)):
            check_input(known, name, digest_path(path))
        measured, config = read_scores(scores), checked_config(model, known)
        output.mkdir(parents=True, exist_ok=True)
        release_weights(model, output, self.maximum_shard_megabytes * 1_000_000)
        copy_tokenizer(model, output)
        if (model / FILE).exists():
            copy_file(model / FILE, output)
        config.write(output)
        copy_file(scores / SCORES_FILE, output)
        copy_file(scores / PICTURE, output)
        write_text(output / "README.md", render_card(self, known, measured, config))
        trace(known, output).write(output)
        context.journal.say(f"released {self.name}: every file's SHA-256 is in lineage.json")
        return report_of(self.name, output)


def copy_file(path: Path, folder: Path) -> None:
    """Copies a file under its own name. Raises `InputError` if it is missing."""
    if not path.exists():
        raise InputError(f"{path} does not exist. Run `dvc repro evaluate`, which writes it.")
    shutil.copyfile(path, folder / path.name)


def report_of(name: str, output: Path) -> PublishReport:
    """Files and bytes of the release."""
    files = [path for path in output.rglob("*") if path.is_file()]
    return PublishReport(files=len(files), bytes=sum(path.stat().st_size for path in files), location=name)
