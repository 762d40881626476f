"""What a new row of embedding and head starts from: the menu of `initialise`. The arithmetic is in `rows`.

Wherever base rows are summed, it is in a stated order, so that the bytes are the same on every machine.
"""

from typing import Annotated, Literal

from pydantic import Field

from components.base.fields import Fields


class MeanOfSubpieces(Fields):
    """The mean of the rows into which the base tokenizer splits the piece: arXiv 2404.17790, section 3.

    Summed in float32 from the first subpiece to the last, divided, and rounded once to the matrix's type.
    """

    kind: Literal["mean_of_subpieces"]


class PositionWeighted(Fields):
    """A mean of the subpieces' rows in which weights grow linearly: 1, 2, … n, over their sum.

    In the input embedding the last subpiece weighs most, because what follows is predicted from there; in an output head the
    first one does, because the base model would say it next. The directions are AdaptiVocab's (arXiv 2503.19693), whose weights
    are exponential. A tied matrix is both and takes the input's: the first subpieces of Japanese characters are often the
    same UTF-8 lead bytes, and rows that weigh them most would hardly differ.
    """

    kind: Literal["position_weighted"]


class NoisyMean(Fields):
    """`mean_of_subpieces` plus normal noise, which tells pieces of equal subpieces apart.

    Each dimension's noise has `noise` times the standard deviation of the base rows (population, float64) in it; seeded by
    matrix and row, so that a tied pair of matrices stays one.
    """

    kind: Literal["noisy_mean"]
    noise: Annotated[float, Field(gt=0, le=1)]
    """1: new rows scatter about their means as widely as the base rows about theirs."""


class GlobalMean(Fields):
    """The mean of all base rows, summed in float64: a new row then gets no more than a mean logit.

    Hewitt, "Initializing New Word Embeddings for Pretrained Language Models" (2021), without its noise.
    """

    kind: Literal["global_mean"]


class Normal(Fields):
    """Normal numbers about zero with config.json's `initializer_range`: a row that knows nothing, as of a fresh model."""

    kind: Literal["normal"]


Initialisation = Annotated[
    MeanOfSubpieces | PositionWeighted | NoisyMean | GlobalMean | Normal, Field(discriminator="kind")
]
