"""scores.json: what `evaluate` measured for a base model and a trained one, and how; its writer next to its reader."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from components.errors import InputError
from components.formats.files import write_text

BASE, TRAINED = "base", "model"
SCORES_FILE = "scores.json"


class _Stated(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Score(_Stated):
    """One model's mean over a task's items; `standard_error` is None if the aggregation has none."""

    value: float
    standard_error: float | None
    truncated: int
    """Prompts that did not fit and lost their beginning."""


class TaskScore(_Stated):
    """One task: how it was asked, on which bytes, and each model's score in 0–1."""

    name: str
    language: str
    metric: str
    shots: int
    items: int
    task_sha256: str
    items_sha256: dict[str, str]
    scores: dict[str, Score]


class TextScore(_Stated):
    """Bits per UTF-8 byte of the same held-out text for both models: comparable whatever the tokenizer."""

    language: str
    documents: int
    characters: int
    bytes: int
    text_sha256: str
    bits_per_byte: dict[str, float]
    tokens: dict[str, int]


class Scores(_Stated):
    """Everything `evaluate` measured; every mapping by model has the keys `BASE` and `TRAINED`."""

    schema_version: int
    dtype: dict[str, str]
    device: str
    maximum_length: int
    window_tokens: dict[str, int]
    """Longest stretch of tokens that a model saw at once when bits per byte were measured."""
    add_bos_token: bool
    seed: int
    tasks: list[TaskScore]
    text: list[TextScore]
    versions: dict[str, str]

    def write(self, folder: Path) -> None:
        """Writes `scores.json` into the folder."""
        write_text(folder / SCORES_FILE, self.model_dump_json(indent=2) + "\n")


def read_scores(folder: Path) -> Scores:
    """The scores of an `evaluate` output. Raises `InputError` if they are absent or of another version."""
    path = folder / SCORES_FILE
    try:
        return Scores.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist. Run `dvc repro evaluate`, which writes it.") from None
    except ValueError as error:
        raise InputError(f"{path} is not a scores file of this version: {error}. Run `dvc repro evaluate`.") from None
