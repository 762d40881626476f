"""What became of one stage in a flow run."""

from typing import Literal

from pydantic import BaseModel

Outcome = Literal["ran", "restored", "unchanged"]


class StageResult(BaseModel):
    """How a stage ended, and how long that took."""

    outcome: Outcome | Literal["failed"]
    error: str = ""
    seconds: float = 0.0
