"""A base model in, the same model out: for a recipe that keeps its vocabulary, as Swallow-MX 8x7b does."""

import shutil
from pathlib import Path
from typing import Literal

from components.base import Context
from components.expand.contract import Expander, ExpandReport
from components.expand.fertility import tokens_per_character
from components.formats.models import check_rows, copy_tokenizer, read_config
from components.formats.tokenizers import load_tokenizer, write_fast_tokenizer

MODEL_FILES = ("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json")


class KeepVocabulary(Expander):
    """Copies weights, config and `tokenizer.model`; `tokenizer.json` is written anew, so that it is known to agree."""

    kind: Literal["keep"]
    version: Literal[1]

    def run(self, context: Context, model: Path, text: Path, output: Path) -> ExpandReport:
        """As the contract says; the report states 0 added pieces."""
        tokenizer, config = load_tokenizer(model), read_config(model)
        check_rows(model, tokenizer.pieces)
        fertility = tokens_per_character(tokenizer, text)
        copy_tokenizer(model, output)
        write_fast_tokenizer(output, config["max_position_embeddings"])
        # copies, not links: a link would let a later stage's slip change the base model
        for path in sorted(path for pattern in MODEL_FILES for path in model.glob(pattern)):
            context.journal.say(f"copying {path.name}")
            shutil.copyfile(path, output / path.name)
        return ExpandReport(
            base_pieces=tokenizer.pieces, added_pieces=0, pieces=tokenizer.pieces,
            tokens_per_character_before=fertility, tokens_per_character_after=fertility,
        )
