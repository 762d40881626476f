"""What a stage's ranks are told, as `request.json` in the scratch folder; each stage adds its own fields.

Nothing in a request says how many ranks there are or how far the work is: the same file serves every start.
"""

import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from components.base.fields import Fields
from components.formats.files import write_text
from components.ranks.outcome import Outcome

REQUEST_FILE = "request.json"


class RankRequest(Fields):
    """A piece of work, and the folder in which its ranks leave what they did."""

    worker: ClassVar[str]
    """The module that every rank runs, with the request's file as its argument."""
    variables: ClassVar[Mapping[str, str]] = {}
    """What the ranks need in their environment."""

    fingerprint: str
    """SHA-256 over all that results depend on: what was left under another one belongs to other work."""
    scratch: Path

    @classmethod
    def read(cls, path: Path) -> Self:
        """The request in a file."""
        return cls.model_validate_json(path.read_bytes())

    @property
    def path(self) -> Path:
        """The request's own file."""
        return self.scratch / REQUEST_FILE

    @property
    def outcome(self) -> Path:
        """The file that says how the ranks ended."""
        return self.scratch / "outcome.json"

    @property
    def refusal(self) -> Path:
        """The file that a rank leaves if what the user gave cannot be used."""
        return self.scratch / "refusal.json"

    @abstractmethod
    def is_done(self) -> bool:
        """Whether the whole result is there."""

    def kept(self) -> str:
        """What an earlier start left done, such as "4 of 9 measurements are made"; "" if nothing, or if the ranks say it."""
        return ""

    def reached(self, outcome: Outcome) -> str:  # noqa: ARG002  (for those that know)
        """How far stopped ranks came, such as " after step 4 of 9"; most requests say nothing."""
        return ""

    def forget(self) -> None:
        """Removes what ranks left for another request in this folder; most leave nothing that could be mistaken."""

    def write(self) -> None:
        """Replaces the request's file; what was left for another request is forgotten first."""
        if self.path.exists() and json.loads(self.path.read_bytes())["fingerprint"] != self.fingerprint:
            self.forget()
        write_text(self.path, self.model_dump_json(indent=2))
