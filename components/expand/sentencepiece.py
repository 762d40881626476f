"""Adds SentencePiece pieces, trained on clean text, to a base model that has a `tokenizer.model`.

The fields are in `growth`, the work is in `expansion`, which is imported when the stage runs: parameters stay light.
"""

from pathlib import Path
from typing import Literal

from components.base.model_summary import ModelSummary
from components.base.ports import Context
from components.expand.contract import Expander, ExpandReport
from components.expand.growth import Growth


class SentencePieceExpander(Growth, Expander):
    """Trains a BPE vocabulary on the text, appends what is new in it to the base model's, and starts the new rows.

    Ids, scores and types of the base pieces stay as they are, and so does the splitting of every text without a
    Japanese character. The recipe of Swallow-MS 7b (config.json of tokyotech-llm/Swallow-MS-7b-v0.1: 42,800 pieces, a
    multiple of 8) as far as it is public; the rows start as in arXiv 2404.17790, section 3.
    """

    kind: Literal["sentencepiece"]
    version: Literal[2]

    def model_summary(self, before: ModelSummary) -> ModelSummary:
        """The summary, with the pieces and padding rows that are asked for."""
        return self.grown(before)

    def preflight(self) -> list[str]:
        """Names the packages of the segmentation that are not installed."""
        return self.missing_packages()

    def run(self, context: Context, model: Path, text: Path, output: Path) -> ExpandReport:
        """As the contract says. Raises `ParameterError` if `pieces` is not above the base model's."""
        from components.expand.expansion import Expansion
        from components.expand.vocabulary.sentencepiece import SentencePieceVocabulary
        from components.models.folder import maximum_positions
        from components.tokenizers.special_tokens import folder_tokenizer_fingerprint

        # a tokenizer.json next to tokenizer.model must be the same tokenizer, because it will be written anew
        folder_tokenizer_fingerprint(model)
        maximum_positions(model)  # tokenizer_config.json will need it, after the training
        return Expansion(self, SentencePieceVocabulary.of(model), context.journal).run(model, text, output)
