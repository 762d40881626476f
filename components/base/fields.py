"""The base of every class of parameters: a value that is missing, unknown or changed later is an error."""

from pydantic import BaseModel, ConfigDict


class Fields(BaseModel):
    """Parameters: frozen, nothing unknown, nothing defaulted."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
