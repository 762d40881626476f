"""Adds pieces, trained on clean text, to a base model that has a byte-level `tokenizer.json`.

The fields are in `growth`, the work is in `expansion`, which is imported when the stage runs: parameters stay light.
"""

from pathlib import Path
from typing import Literal

from components.base.model_summary import ModelSummary
from components.base.ports import Context
from components.expand.contract import Expander, ExpandReport
from components.expand.growth import Growth


class ByteLevelExpander(Growth, Expander):
    """For bases such as SmolLM2, Llama 3 and Qwen: what `sentencepiece` does, with merges instead of scores.

    Ids and merges of the base stay as they are, and so does the splitting of every text without a Japanese character or
    an ideographic space. A character whose leading bytes the base does not join takes a piece for these as well, out of the
    same room. The rows start as in arXiv 2404.17790, section 3.
    """

    kind: Literal["byte_level"]
    version: Literal[1]

    def model_summary(self, before: ModelSummary) -> ModelSummary:
        """The summary, with the pieces and padding rows that are asked for."""
        return self.grown(before)

    def preflight(self) -> list[str]:
        """Names the packages of the segmentation that are not installed."""
        return self.missing_packages()

    def run(self, context: Context, model: Path, text: Path, output: Path) -> ExpandReport:
        """As the contract says. Raises `ParameterError` if `pieces` is not above the base model's."""
        from components.expand.expansion import Expansion
        from components.expand.vocabulary.byte_level import ByteLevelVocabulary

        return Expansion(self, ByteLevelVocabulary.of(model), context.journal).run(model, text, output)
