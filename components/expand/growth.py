"""What every way of enlarging a vocabulary has in common: which pieces are wanted, from which text, with which rows."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.base.fields import Fields
from components.base.model_summary import ModelSummary
from components.expand.embeddings.initialise import Initialisation

MECAB = ("fugashi", "unidic_lite")


class TrainingText(Fields):
    """A source of training text: clean text by pattern (`<language>/<source>`), and its weight in characters."""

    text: str = Field(min_length=1)
    weight: float = Field(gt=0)


class CharacterTargets(Fields):
    """How many characters of a Unicode block the whole vocabulary is to know, the base's included; null: as coverage gives.

    Kana that the text lacks are added all the same, for their alphabets are closed: ぁ to ん (83), ァ to ヶ with ・ and ー
    (88). Kanji are added by their frequency in the text. Swallow-MS 7b has 83, 87 and 3,208.
    """

    hiragana: Annotated[int, Field(ge=0, le=83)] | None
    katakana: Annotated[int, Field(ge=0, le=88)] | None
    kanji: Annotated[int, Field(ge=0, le=20_992)] | None


class Growth(Fields):
    """The fields of an expander that appends pieces trained on text."""

    pieces: Annotated[int, Field(gt=0)]
    """The size of the whole vocabulary afterwards."""
    multiple_of: Annotated[int, Field(gt=0)]
    """`pieces` and `padding_rows` together must divide by this, for the matrix kernels' sake."""
    padding_rows: Annotated[int, Field(ge=0)]
    """Rows after the last piece's, in embedding and head, which belong to no piece."""
    base_padding_rows: Annotated[int, Field(ge=0)]
    """Such rows in the base model: they give way to the new pieces."""
    text: Annotated[tuple[TrainingText, ...], Field(min_length=1)]
    """Which clean text to train on. A source that is smaller than its share gives all that it has."""
    maximum_characters: Annotated[int, Field(gt=0)]
    """How much of it in all, taken from documents in an order that `seed` shuffles."""
    segmentation: Literal["mecab"] | None
    """With `mecab`, no piece crosses the words of MeCab with UniDic (the packages fugashi and unidic-lite)."""
    trained_pieces: Annotated[int, Field(gt=300)]
    """The size of the vocabulary that is trained on the text: 259 specials and bytes, then merges and characters."""
    character_coverage: Annotated[float, Field(gt=0.9, le=1.0)]
    """The share of all characters in the text that merges are made of; of the blocks without a target, also what is added."""
    characters: CharacterTargets
    initialise: Initialisation
    """What the new rows of embedding and head start from."""
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _divides(self) -> Self:
        """A matrix whose height is not a multiple of `multiple_of` is a typing error."""
        rows = self.pieces + self.padding_rows
        if over := rows % self.multiple_of:
            below = self.pieces - over
            named = f"pieces: {self.pieces:,}" + (f" and padding_rows: {self.padding_rows:,}" if self.padding_rows else "")
            raise ValueError(
                f"{named} is not a multiple of multiple_of, {self.multiple_of}. "
                f"Take {below:,} or {below + self.multiple_of:,} pieces"
            )
        patterns = [share.text for share in self.text]
        if len(set(patterns)) != len(patterns):
            raise ValueError(f"a pattern of text occurs twice in {patterns}; add the weights up instead")
        return self

    def grown(self, before: ModelSummary) -> ModelSummary:
        """The model's summary with the rows that are asked for."""
        return replace(before, vocabulary=self.pieces + self.padding_rows)

    def missing_packages(self) -> list[str]:
        """What the segmentation needs and this installation lacks."""
        from importlib.util import find_spec

        if self.segmentation is None or all(map(find_spec, MECAB)):
            return []
        return ["segmentation: mecab needs the packages fugashi and unidic-lite; install martlet[mecab], or set it to null"]
