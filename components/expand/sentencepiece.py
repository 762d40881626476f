"""A base model and clean text in, a model with more SentencePiece pieces out.

The fields are here, the work is in `sentencepiece_worker`, which is imported when the stage runs: parameters stay light.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.base import Context
from components.expand.contract import Expander, ExpandReport


class SentencePieceExpander(Expander):
    """Trains a BPE vocabulary on the text, appends what is new in it to the base model's, and starts the new rows.

    Ids, scores and types of the base pieces stay as they are, and so does the splitting of every text without a
    Japanese character. The recipe of Swallow-MS 7b (config.json of tokyotech-llm/Swallow-MS-7b-v0.1: 42,800 pieces, a
    multiple of 8) as far as it is public; the rows start as in arXiv 2404.17790, section 3.
    """

    kind: Literal["sentencepiece"]
    version: Literal[1]
    pieces: Annotated[int, Field(gt=0)]
    """The size of the whole vocabulary afterwards."""
    multiple_of: Annotated[int, Field(gt=0)]
    """`pieces` must divide by this, for the matrix kernels' sake."""
    trained_pieces: Annotated[int, Field(gt=300)]
    """The size of the vocabulary that is trained on the text: 259 specials and bytes, then merges and characters."""
    text: str
    """Which clean text, as `<language>/<source>`; `*` matches."""
    maximum_characters: Annotated[int, Field(gt=0)]
    """How much of it to train on, taken from documents in an order that `seed` shuffles."""
    character_coverage: Annotated[float, Field(gt=0.9, le=1.0)]
    """The share of all characters in the text that get a piece of their own."""
    initialise: Literal["mean_of_subpieces"]
    """A new row is the mean of the rows into which the base tokenizer splits the piece."""
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _divides(self) -> Self:
        """A vocabulary that is no multiple of `multiple_of` is a typing error."""
        if self.pieces % self.multiple_of:
            below = self.pieces - self.pieces % self.multiple_of
            raise ValueError(
                f"pieces: {self.pieces:,} is no multiple of multiple_of, {self.multiple_of}. "
                f"Take {below:,} or {below + self.multiple_of:,}"
            )
        return self

    def run(self, context: Context, model: Path, text: Path, output: Path) -> ExpandReport:
        """As the contract says. Raises `ParameterError` where `pieces` is not above the base model's."""
        from components.expand.sentencepiece_worker import expand

        return expand(self, context.journal, model, text, output)
