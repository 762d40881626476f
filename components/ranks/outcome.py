"""Where a stage's ranks say how they ended, in two small files: whether they are done, and which input they could not take."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from components.errors import EmptyCorpus, InputError, TokenizerMismatch
from components.formats.files import write_text

REFUSALS = {error.__name__: error for error in (InputError, EmptyCorpus, TokenizerMismatch)}


class RanksCall(BaseModel):
    """What a stage's ranks are told, as `call.json`; each stage adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mark: str
    """SHA-256 over all that results depend on: what was left under another mark is of other work."""
    scratch: Path

    @property
    def outcome(self) -> Path:
        """The file that says how the ranks ended."""
        return self.scratch / "outcome.json"

    @property
    def refusal(self) -> Path:
        """The file that a rank leaves where an input is at fault."""
        return self.scratch / "refusal.json"


class Outcome(BaseModel):
    """How the ranks ended; the file is absent where one died."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    finished: bool
    signal: str | None
    """The signal that stopped them."""

    def write(self, path: Path) -> None:
        """Replaces the file."""
        write_text(path, self.model_dump_json())


class Refusal(BaseModel):
    """An input that a rank could not take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    error: str
    """The name of its class."""
    message: str


def signal_words(path: Path) -> str:
    """How ranks that did not finish ended, by their outcome's file."""
    if not path.exists():
        return "the stage's processes ended without an outcome"
    return f"stopped by {Outcome.model_validate_json(path.read_bytes()).signal}"


def write_refusal(path: Path, error: InputError) -> None:
    """Leaves word of an input that is at fault."""
    write_text(path, Refusal(error=type(error).__name__, message=str(error)).model_dump_json())


def raise_refusal(path: Path) -> None:
    """Raises the error of a rank that refused an input, if one did."""
    if path.exists():
        refusal = Refusal.model_validate_json(path.read_bytes())
        raise REFUSALS.get(refusal.error, InputError)(refusal.message)
